CREATE TABLE lineup_2023 (artist TEXT, style TEXT, fee REAL);
CREATE TABLE lineup_2024 (artist TEXT, style TEXT, fee REAL);
CREATE TABLE lineup_2025 (artist TEXT, style TEXT, fee REAL);
CREATE TABLE buyers (id INTEGER PRIMARY KEY, name TEXT, town TEXT, pass TEXT, tickets INTEGER, price REAL);
CREATE TABLE volunteers (id INTEGER PRIMARY KEY, name TEXT, town TEXT, shift TEXT);

-- rows
INSERT INTO lineup_2023 (artist, style, fee) VALUES
  ('Arara', 'rock', 900.00),
  ('Bossa Duo', 'jazz', 700.00),
  ('Calma', 'folk', 400.00),
  ('Delta', 'rock', 1200.00),
  ('Eco', 'pop', 650.00);
INSERT INTO lineup_2024 (artist, style, fee) VALUES
  ('Bossa Duo', 'jazz', 750.00),
  ('Calma', 'folk', 400.00),
  ('Faro', 'pop', 800.00),
  ('Gaita', 'folk', 350.00),
  ('Delta', 'rock', 1300.00);
INSERT INTO lineup_2025 (artist, style, fee) VALUES
  ('Calma', 'folk', 400.00),
  ('Faro', 'pop', 950.00),
  ('Hino', 'rock', 1500.00),
  ('Delta', 'rock', 1400.00),
  ('Iris', 'jazz', 620.00);
INSERT INTO buyers (id, name, town, pass, tickets, price) VALUES
  (1, 'Alda', 'Evora', 'day', 2, 40.00),
  (2, 'Beto', 'Beja', 'full', 1, 110.00),
  (3, 'Caio', 'Evora', 'day', 4, 40.00),
  (4, 'Duda', 'Faro', 'full', 2, 110.00),
  (5, 'Edu', 'Sines', 'day', 1, 40.00),
  (6, 'Fani', 'Beja', 'vip', 1, 260.00),
  (7, 'Geni', 'Faro', 'day', 3, 40.00);
INSERT INTO volunteers (id, name, town, shift) VALUES
  (1, 'Beto', 'Beja', 'night'),
  (2, 'Hilda', 'Evora', 'day'),
  (3, 'Duda', 'Faro', 'night'),
  (4, 'Ivo', 'Tavira', 'day'),
  (5, 'Julio', 'Sines', 'night');
