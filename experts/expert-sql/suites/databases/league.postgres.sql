CREATE TABLE teams (id INTEGER PRIMARY KEY, name TEXT, city TEXT, founded INTEGER);
CREATE TABLE players (id INTEGER PRIMARY KEY, name TEXT, team_id INTEGER REFERENCES teams(id), position TEXT, goals INTEGER, salary NUMERIC(10,2));
CREATE TABLE matches (id INTEGER PRIMARY KEY, home_id INTEGER REFERENCES teams(id), away_id INTEGER REFERENCES teams(id), played_on DATE, home_goals INTEGER, away_goals INTEGER);

-- rows
INSERT INTO teams (id, name, city, founded) VALUES
  (1, 'Falcons', 'Oslo', 1902),
  (2, 'Rovers', 'Bergen', 1911),
  (3, 'Comets', 'Oslo', 1954),
  (4, 'Miners', 'Roros', 1921),
  (5, 'Pilots', 'Bodo', 1988),
  (6, 'Sailors', 'Bergen', 2019);
INSERT INTO players (id, name, team_id, position, goals, salary) VALUES
  (1, 'Arne', 1, 'forward', 14, 52000.00),
  (2, 'Bo', 1, 'keeper', 0, 41000.00),
  (3, 'Carl', 1, 'defender', 2, 38000.00),
  (4, 'Dag', 2, 'forward', 11, 47000.00),
  (5, 'Erik', 2, 'midfield', 6, 44000.00),
  (6, 'Finn', 3, 'forward', 9, 36000.00),
  (7, 'Geir', 3, 'midfield', 6, 39500.00),
  (8, 'Hans', 3, 'keeper', 0, 33000.00),
  (9, 'Ivar', 4, 'forward', 17, 61000.00),
  (10, 'Jon', 4, 'defender', 1, 30000.00),
  (11, 'Kare', NULL, 'forward', 4, 20000.00),
  (12, 'Lars', 5, 'midfield', 3, 28000.00),
  (13, 'Nils', NULL, 'defender', 0, 18000.00);
INSERT INTO matches (id, home_id, away_id, played_on, home_goals, away_goals) VALUES
  (1, 1, 2, '2024-04-06', 2, 1),
  (2, 3, 4, '2024-04-07', 0, 3),
  (3, 2, 3, '2024-04-20', 1, 1),
  (4, 4, 1, '2024-05-04', 2, 2),
  (5, 5, 1, '2024-05-18', 0, 4),
  (6, 2, 4, '2024-06-08', 3, 2),
  (7, 1, 3, '2024-06-22', 1, 0),
  (8, 4, 5, '2024-08-10', 5, 0),
  (9, 3, 5, '2024-09-14', 2, 1),
  (10, 1, 4, '2024-10-05', 0, 1);
