CREATE TABLE plays (id INTEGER PRIMARY KEY, title TEXT, genre TEXT, minutes INTEGER, author TEXT);
CREATE TABLE actors (id INTEGER PRIMARY KEY, name TEXT, birth_year INTEGER, agency TEXT);
CREATE TABLE roles (play_id INTEGER REFERENCES plays(id), actor_id INTEGER REFERENCES actors(id), character_name TEXT, fee NUMERIC(8,2));
CREATE TABLE performances (id INTEGER PRIMARY KEY, play_id INTEGER REFERENCES plays(id), hall TEXT, performed_on DATE, tickets INTEGER, price NUMERIC(6,2));

-- rows
INSERT INTO plays (id, title, genre, minutes, author) VALUES
  (1, 'Night Harbour', 'drama', 140, 'R. Vale'),
  (2, 'The Clerk', 'comedy', 95, 'A. Soto'),
  (3, 'Two Windows', 'drama', 110, 'A. Soto'),
  (4, 'Paper Kings', 'musical', 165, 'J. Lind'),
  (5, 'Late Train', 'comedy', 88, 'R. Vale'),
  (6, 'Glass Garden', 'drama', 125, 'M. Orr');
INSERT INTO actors (id, name, birth_year, agency) VALUES
  (1, 'Ines Prado', 1980, 'Star'),
  (2, 'Joel Kay', 1992, NULL),
  (3, 'Rita Sol', 1975, 'Star'),
  (4, 'Max Dunn', 1988, 'North'),
  (5, 'Eva Roth', 1999, NULL),
  (6, 'Leo Faro', 1969, 'North'),
  (7, 'Cora Lima', 2001, 'Star');
INSERT INTO roles (play_id, actor_id, character_name, fee) VALUES
  (1, 1, 'Helena', 900.00),
  (1, 4, 'Captain', 750.00),
  (1, 6, 'Pilot', 400.00),
  (2, 2, 'Clerk', 500.00),
  (2, 3, 'Widow', 620.00),
  (3, 1, 'Laura', 820.00),
  (3, 2, 'Simon', 450.00),
  (4, 3, 'Queen', 1200.00),
  (4, 5, 'Page', 300.00),
  (4, 4, 'King', 1100.00),
  (5, 2, 'Driver', 380.00),
  (5, 5, 'Nurse', 350.00),
  (6, 6, 'Gardener', 410.00);
INSERT INTO performances (id, play_id, hall, performed_on, tickets, price) VALUES
  (1, 1, 'Main', '2023-03-10', 220, 45.00),
  (2, 1, 'Main', '2023-03-17', 260, 45.00),
  (3, 2, 'Studio', '2023-05-05', 80, 30.00),
  (4, 3, 'Main', '2023-09-22', 190, 40.00),
  (5, 4, 'Main', '2023-11-18', 400, 70.00),
  (6, 2, 'Studio', '2024-02-09', 95, 32.00),
  (7, 4, 'Main', '2024-03-15', 380, 72.00),
  (8, 5, 'Studio', '2024-04-19', 60, 28.00),
  (9, 1, 'Garden', '2024-06-21', 150, 38.00),
  (10, 4, 'Garden', '2024-07-13', 310, 60.00),
  (11, 3, 'Studio', '2024-09-06', 75, 35.00),
  (12, 5, 'Studio', '2024-10-25', 88, 28.00),
  (13, 2, 'Garden', '2024-11-16', 110, 30.00);
