CREATE TABLE owners (id INTEGER PRIMARY KEY, name TEXT, city TEXT, phone TEXT);
CREATE TABLE vehicles (id INTEGER PRIMARY KEY, owner_id INTEGER REFERENCES owners(id), plate TEXT, make TEXT, model_year INTEGER, mileage INTEGER);
CREATE TABLE mechanics (id INTEGER PRIMARY KEY, name TEXT, hourly_rate REAL, mentor_id INTEGER REFERENCES mechanics(id), hired_on DATE);
CREATE TABLE repairs (id INTEGER PRIMARY KEY, vehicle_id INTEGER REFERENCES vehicles(id), mechanic_id INTEGER REFERENCES mechanics(id), opened_on DATE, closed_on DATE, hours REAL, parts_cost REAL, kind TEXT);

-- rows
INSERT INTO owners (id, name, city, phone) VALUES
  (1, 'Marta Reis', 'Recife', '81-5550101'),
  (2, 'Paulo Brito', 'Olinda', NULL),
  (3, 'Lia Castro', 'Recife', '81-5550303'),
  (4, 'Otto Braun', 'Natal', NULL),
  (5, 'Vera Pinto', 'Olinda', '81-5550505'),
  (6, 'Caio Melo', 'Natal', '84-5550606'),
  (7, 'Nina Faria', 'Recife', NULL);
INSERT INTO vehicles (id, owner_id, plate, make, model_year, mileage) VALUES
  (1, 1, 'KGB-1020', 'Fiat', 2015, 82000),
  (2, 1, 'PXA-3344', 'Toyota', 2020, 31000),
  (3, 2, 'QRS-7788', 'Ford', 2012, 140500),
  (4, 3, 'NOP-1122', 'Fiat', 2018, 56000),
  (5, 4, 'LMN-9090', 'Honda', 2021, 22000),
  (6, 5, 'JKL-4545', 'Toyota', 2016, 99000),
  (7, 5, 'HIJ-6767', 'Volvo', 2010, 203000),
  (8, 3, 'EHJ-8899', 'Honda', 2019, 47000);
INSERT INTO mechanics (id, name, hourly_rate, mentor_id, hired_on) VALUES
  (1, 'Rui', 95.00, NULL, '2010-04-12'),
  (2, 'Tais', 80.00, 1, '2014-08-03'),
  (3, 'Igor', 72.50, 1, '2017-02-20'),
  (4, 'Bete', 60.00, 2, '2021-06-15'),
  (5, 'Davi', 55.00, 2, '2022-09-05'),
  (6, 'Sonia', 110.00, NULL, '2009-03-02'),
  (7, 'Yuri', 48.00, 4, '2023-05-22');
INSERT INTO repairs (id, vehicle_id, mechanic_id, opened_on, closed_on, hours, parts_cost, kind) VALUES
  (1, 1, 1, '2023-02-06', '2023-02-08', 4.0, 320.00, 'brakes'),
  (2, 3, 2, '2023-03-14', '2023-03-20', 9.5, 1150.00, 'engine'),
  (3, 7, 1, '2023-05-03', '2023-05-15', 12.0, 2400.00, 'engine'),
  (4, 4, 3, '2023-07-19', '2023-07-20', 2.0, 90.00, 'oil'),
  (5, 6, 2, '2023-10-10', '2023-10-13', 5.5, 610.00, 'clutch'),
  (6, 1, 4, '2024-01-16', '2024-01-17', 1.5, 75.00, 'oil'),
  (7, 3, 1, '2024-02-21', '2024-03-01', 8.0, 980.00, 'clutch'),
  (8, 5, 3, '2024-04-09', '2024-04-10', 1.0, 60.00, 'oil'),
  (9, 7, 6, '2024-05-27', NULL, 15.0, 3100.00, 'engine'),
  (10, 2, 2, '2024-06-12', '2024-06-14', 3.0, 240.00, 'brakes'),
  (11, 6, 4, '2024-08-05', '2024-08-09', 3.5, 275.00, 'brakes'),
  (12, 1, 2, '2024-09-18', NULL, 6.5, 130.00, 'tyres'),
  (13, 3, 1, '2024-10-08', '2024-10-11', 6.0, 720.00, 'brakes'),
  (14, 7, 2, '2024-11-04', NULL, 4.5, 500.00, 'tyres');
