CREATE TABLE members (id INTEGER PRIMARY KEY, first_name TEXT, last_name TEXT, email TEXT, plan TEXT, joined_on DATE, referred_by INTEGER REFERENCES members(id));
CREATE TABLE lessons (id INTEGER PRIMARY KEY, title TEXT, coach TEXT, level TEXT, capacity INTEGER);
CREATE TABLE bookings (id INTEGER PRIMARY KEY, member_id INTEGER REFERENCES members(id), lesson_id INTEGER REFERENCES lessons(id), booked_on DATE, attended TEXT);
CREATE TABLE payments (id INTEGER PRIMARY KEY, member_id INTEGER REFERENCES members(id), amount NUMERIC(8,2), discount NUMERIC(8,2), paid_on DATE, method TEXT);

-- rows
INSERT INTO members (id, first_name, last_name, email, plan, joined_on, referred_by) VALUES
  (1, 'Lara', 'Mota', 'lara@fit.com', 'gold', '2022-01-15', NULL),
  (2, 'Ivan', 'Sales', 'ivan@post.org', 'basic', '2022-06-02', 1),
  (3, 'Rosa', 'Teles', NULL, 'silver', '2022-09-19', 1),
  (4, 'Noel', 'Braga', 'noel@fit.com', 'basic', '2023-02-11', 2),
  (5, 'Mila', 'Couto', 'mila@post.org', 'gold', '2023-04-27', 2),
  (6, 'Tom', 'Reyes', NULL, 'basic', '2023-08-08', 4),
  (7, 'Zoe', 'Paiva', 'zoe@fit.com', 'silver', '2024-03-05', NULL),
  (8, 'Hugo', 'Neri', 'hugo@web.net', 'basic', '2024-05-30', 7),
  (9, 'Bia', 'Sena', 'bia@fit.com', 'gold', '2024-10-12', 5);
INSERT INTO lessons (id, title, coach, level, capacity) VALUES
  (1, 'Yoga', 'Clara', 'easy', 12),
  (2, 'Spinning', 'Otavio', 'hard', 20),
  (3, 'Pilates', 'Clara', 'medium', 10),
  (4, 'Boxing', 'Dante', 'hard', 16),
  (5, 'Stretch', 'Clara', 'easy', 15),
  (6, 'Dance', 'Sara', 'medium', 25);
INSERT INTO bookings (id, member_id, lesson_id, booked_on, attended) VALUES
  (1, 1, 1, (now() AT TIME ZONE 'UTC')::date - 3, 'yes'),
  (2, 1, 2, (now() AT TIME ZONE 'UTC')::date - 5, 'no'),
  (3, 2, 2, (now() AT TIME ZONE 'UTC')::date - 12, 'yes'),
  (4, 3, 3, (now() AT TIME ZONE 'UTC')::date - 15, 'yes'),
  (5, 4, 4, (now() AT TIME ZONE 'UTC')::date - 20, 'no'),
  (6, 5, 1, (now() AT TIME ZONE 'UTC')::date - 21, 'yes'),
  (7, 5, 4, (now() AT TIME ZONE 'UTC')::date - 40, 'yes'),
  (8, 2, 4, (now() AT TIME ZONE 'UTC')::date - 44, 'yes'),
  (9, 7, 5, (now() AT TIME ZONE 'UTC')::date - 50, 'no'),
  (10, 8, 2, (now() AT TIME ZONE 'UTC')::date - 55, 'yes'),
  (11, 1, 3, (now() AT TIME ZONE 'UTC')::date - 75, 'yes'),
  (12, 3, 1, (now() AT TIME ZONE 'UTC')::date - 110, 'yes'),
  (13, 5, 2, (now() AT TIME ZONE 'UTC')::date - 130, 'no'),
  (14, 7, 1, (now() AT TIME ZONE 'UTC')::date - 150, 'yes'),
  (15, 4, 2, (now() AT TIME ZONE 'UTC')::date - 140, 'no');
INSERT INTO payments (id, member_id, amount, discount, paid_on, method) VALUES
  (1, 1, 120.00, NULL, (now() AT TIME ZONE 'UTC')::date - 4, 'card'),
  (2, 2, 60.00, 10.00, (now() AT TIME ZONE 'UTC')::date - 10, 'cash'),
  (3, 3, 90.00, NULL, (now() AT TIME ZONE 'UTC')::date - 18, 'card'),
  (4, 4, 60.00, NULL, NULL, 'transfer'),
  (5, 5, 120.00, 20.00, (now() AT TIME ZONE 'UTC')::date - 22, 'card'),
  (6, 6, 60.00, 5.00, NULL, 'cash'),
  (7, 7, 90.00, 15.00, (now() AT TIME ZONE 'UTC')::date - 45, 'transfer'),
  (8, 8, 60.00, NULL, (now() AT TIME ZONE 'UTC')::date - 52, 'card'),
  (9, 1, 120.00, NULL, (now() AT TIME ZONE 'UTC')::date - 66, 'card'),
  (10, 2, 60.00, NULL, (now() AT TIME ZONE 'UTC')::date - 70, 'cash'),
  (11, 5, 120.00, 0.00, (now() AT TIME ZONE 'UTC')::date - 84, 'card'),
  (12, 9, 120.00, NULL, (now() AT TIME ZONE 'UTC')::date - 2, 'transfer');
