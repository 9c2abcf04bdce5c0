CREATE TABLE growers (id INTEGER PRIMARY KEY, name TEXT, region TEXT, certified_on DATE);
CREATE TABLE crops (id INTEGER PRIMARY KEY, name TEXT, kind TEXT);
CREATE TABLE harvests (id INTEGER PRIMARY KEY, grower_id INTEGER REFERENCES growers(id), crop_id INTEGER REFERENCES crops(id), harvested_on DATE, kilos INTEGER, price_per_kilo NUMERIC(6,2));
CREATE TABLE inspections (id INTEGER PRIMARY KEY, grower_id INTEGER REFERENCES growers(id), inspected_on DATE, score INTEGER, remark TEXT);

-- rows
INSERT INTO growers (id, name, region, certified_on) VALUES
  (1, 'Alba', 'North', '2018-05-10'),
  (2, 'Breno', 'South', NULL),
  (3, 'Cida', 'North', '2020-09-01'),
  (4, 'Dora', 'East', NULL),
  (5, 'Enzo', 'South', '2015-03-20'),
  (6, 'Flora', 'East', '2021-11-11'),
  (7, 'Gil', 'North', NULL);
INSERT INTO crops (id, name, kind) VALUES
  (1, 'Maize', 'grain'),
  (2, 'Bean', 'grain'),
  (3, 'Tomato', 'vegetable'),
  (4, 'Mango', 'fruit'),
  (5, 'Grape', 'fruit'),
  (6, 'Carrot', 'vegetable'),
  (7, 'Barley', 'grain');
INSERT INTO harvests (id, grower_id, crop_id, harvested_on, kilos, price_per_kilo) VALUES
  (1, 1, 1, '2022-03-12', 1200, 0.90),
  (2, 1, 3, '2022-06-18', 340, 2.50),
  (3, 2, 2, '2022-07-05', 560, 3.10),
  (4, 3, 4, '2022-11-22', 800, 4.00),
  (5, 5, 5, '2022-02-14', 950, 5.20),
  (6, 1, 1, '2023-03-20', 1350, 0.95),
  (7, 2, 2, '2023-07-11', 610, 3.00),
  (8, 3, 3, '2023-05-30', 420, 2.40),
  (9, 4, 6, '2023-08-17', 290, 1.80),
  (10, 5, 5, '2023-02-25', 1010, 5.00),
  (11, 7, 1, '2023-04-02', 700, 0.98),
  (12, 1, 3, '2024-06-09', 365, 2.70),
  (13, 2, 4, '2024-12-03', 150, 4.30),
  (14, 3, 4, '2024-11-15', 870, 4.10),
  (15, 4, 6, '2024-09-03', 330, 1.75),
  (16, 5, 2, '2024-07-22', 240, 3.20),
  (17, 7, 1, '2024-03-28', 910, 1.05);
INSERT INTO inspections (id, grower_id, inspected_on, score, remark) VALUES
  (1, 1, '2022-04-04', 82, NULL),
  (2, 2, '2022-08-10', 64, 'storage'),
  (3, 3, '2023-01-19', 91, NULL),
  (4, 1, '2023-05-16', 88, NULL),
  (5, 4, '2023-09-12', 58, 'water'),
  (6, 5, '2023-03-08', 95, NULL),
  (7, 2, '2024-08-21', 71, 'labels'),
  (8, 5, '2024-03-14', 93, NULL),
  (9, 7, '2024-05-07', 77, 'storage'),
  (10, 3, '2024-02-06', 86, NULL);
