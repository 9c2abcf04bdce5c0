CREATE TABLE depots (id INTEGER PRIMARY KEY, city TEXT, country TEXT, capacity INTEGER);
CREATE TABLE drivers (id INTEGER PRIMARY KEY, name TEXT, depot_id INTEGER REFERENCES depots(id), boss_id INTEGER REFERENCES drivers(id), wage NUMERIC(8,2));
CREATE TABLE parcels (id INTEGER PRIMARY KEY, depot_id INTEGER REFERENCES depots(id), driver_id INTEGER REFERENCES drivers(id), recipient TEXT, weight NUMERIC(6,2), fee NUMERIC(8,2), insurance NUMERIC(8,2), sent_on DATE, delivered_on DATE, status TEXT);

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
  (1, 1, 2, 'Ada', 2.50, 12.00, NULL, (now() AT TIME ZONE 'UTC')::date - 3, NULL, 'moving'),
  (2, 1, 4, 'Bob', 10.00, 30.50, 5.00, (now() AT TIME ZONE 'UTC')::date - 10, (now() AT TIME ZONE 'UTC')::date - 7, 'delivered'),
  (3, 2, 5, 'Cleo', 0.80, 6.00, NULL, (now() AT TIME ZONE 'UTC')::date - 12, (now() AT TIME ZONE 'UTC')::date - 10, 'delivered'),
  (4, 3, 3, 'Dan', 22.00, 58.00, 12.00, (now() AT TIME ZONE 'UTC')::date - 15, (now() AT TIME ZONE 'UTC')::date - 9, 'delivered'),
  (5, 3, 7, 'Eli', 5.20, 28.00, NULL, (now() AT TIME ZONE 'UTC')::date - 20, NULL, 'lost'),
  (6, 4, 6, 'Fay', 1.10, 7.50, 2.00, (now() AT TIME ZONE 'UTC')::date - 24, (now() AT TIME ZONE 'UTC')::date - 21, 'delivered'),
  (7, 5, NULL, 'Gus', 3.00, 14.00, NULL, (now() AT TIME ZONE 'UTC')::date - 2, NULL, 'waiting'),
  (8, 1, 2, 'Hal', 7.70, 25.00, 4.00, (now() AT TIME ZONE 'UTC')::date - 40, (now() AT TIME ZONE 'UTC')::date - 36, 'delivered'),
  (9, 3, 3, 'Ida', 16.50, 44.00, NULL, (now() AT TIME ZONE 'UTC')::date - 52, (now() AT TIME ZONE 'UTC')::date - 47, 'delivered'),
  (10, 2, 8, 'Jon', 4.00, 15.50, 3.00, (now() AT TIME ZONE 'UTC')::date - 64, (now() AT TIME ZONE 'UTC')::date - 62, 'delivered'),
  (11, 5, 7, 'Kim', 9.10, 29.00, 6.50, (now() AT TIME ZONE 'UTC')::date - 75, (now() AT TIME ZONE 'UTC')::date - 66, 'delivered'),
  (12, 3, 7, 'Leo', 10.00, 36.00, NULL, (now() AT TIME ZONE 'UTC')::date - 100, (now() AT TIME ZONE 'UTC')::date - 92, 'delivered'),
  (13, 1, 4, 'Mia', 0.50, 5.50, NULL, (now() AT TIME ZONE 'UTC')::date - 5, NULL, 'waiting'),
  (14, 4, NULL, 'Ned', 6.00, 20.00, 1.50, (now() AT TIME ZONE 'UTC')::date - 4, NULL, 'waiting');
