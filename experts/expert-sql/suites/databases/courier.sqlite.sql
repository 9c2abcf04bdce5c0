CREATE TABLE depots (id INTEGER PRIMARY KEY, city TEXT, country TEXT, capacity INTEGER);
CREATE TABLE drivers (id INTEGER PRIMARY KEY, name TEXT, depot_id INTEGER REFERENCES depots(id), boss_id INTEGER REFERENCES drivers(id), wage REAL);
CREATE TABLE parcels (id INTEGER PRIMARY KEY, depot_id INTEGER REFERENCES depots(id), driver_id INTEGER REFERENCES drivers(id), recipient TEXT, weight REAL, fee REAL, insurance REAL, sent_on DATE, delivered_on DATE, status TEXT);

-- rows
INSERT INTO depots (id, city, country, capacity) VALUES
  (1, 'Lisbon', 'Portugal', 300),
  (2, 'Porto', 'Portugal', 220),
  (3, 'Madrid', 'Spain', 500),
  (4, 'Seville', 'Spain', 150),
  (5, 'Lyon', 'France', 260),
  (6, 'Braga', 'Portugal', 90);
INSERT INTO drivers (id, name, depot_id, boss_id, wage) VALUES
  (1, 'Amelia', 3, NULL, 3400.00),
  (2, 'Bento', 1, 1, 2500.00),
  (3, 'Celso', 3, 1, 2600.00),
  (4, 'Dalia', 1, 2, 1800.00),
  (5, 'Edgar', 2, 2, 1850.00),
  (6, 'Filipa', 4, 3, 1900.00),
  (7, 'Goran', NULL, 3, 2700.00),
  (8, 'Heloi', 2, 5, 1500.00);
INSERT INTO parcels (id, depot_id, driver_id, recipient, weight, fee, insurance, sent_on, delivered_on, status) VALUES
  (1, 1, 2, 'Ada', 2.50, 12.00, NULL, date('now', '-3 days'), NULL, 'moving'),
  (2, 1, 4, 'Bob', 10.00, 30.50, 5.00, date('now', '-10 days'), date('now', '-7 days'), 'delivered'),
  (3, 2, 5, 'Cleo', 0.80, 6.00, NULL, date('now', '-12 days'), date('now', '-10 days'), 'delivered'),
  (4, 3, 3, 'Dan', 22.00, 58.00, 12.00, date('now', '-15 days'), date('now', '-9 days'), 'delivered'),
  (5, 3, 7, 'Eli', 5.20, 28.00, NULL, date('now', '-20 days'), NULL, 'lost'),
  (6, 4, 6, 'Fay', 1.10, 7.50, 2.00, date('now', '-24 days'), date('now', '-21 days'), 'delivered'),
  (7, 5, NULL, 'Gus', 3.00, 14.00, NULL, date('now', '-2 days'), NULL, 'waiting'),
  (8, 1, 2, 'Hal', 7.70, 25.00, 4.00, date('now', '-40 days'), date('now', '-36 days'), 'delivered'),
  (9, 3, 3, 'Ida', 16.50, 44.00, NULL, date('now', '-52 days'), date('now', '-47 days'), 'delivered'),
  (10, 2, 8, 'Jon', 4.00, 15.50, 3.00, date('now', '-64 days'), date('now', '-62 days'), 'delivered'),
  (11, 5, 7, 'Kim', 9.10, 29.00, 6.50, date('now', '-75 days'), date('now', '-66 days'), 'delivered'),
  (12, 3, 7, 'Leo', 10.00, 36.00, NULL, date('now', '-100 days'), date('now', '-92 days'), 'delivered'),
  (13, 1, 4, 'Mia', 0.50, 5.50, NULL, date('now', '-5 days'), NULL, 'waiting'),
  (14, 4, NULL, 'Ned', 6.00, 20.00, 1.50, date('now', '-4 days'), NULL, 'waiting');
