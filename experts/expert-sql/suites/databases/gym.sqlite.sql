CREATE TABLE members (id INTEGER PRIMARY KEY, first_name TEXT, last_name TEXT, email TEXT, plan TEXT, joined_on DATE, referred_by INTEGER REFERENCES members(id));
CREATE TABLE lessons (id INTEGER PRIMARY KEY, title TEXT, coach TEXT, level TEXT, capacity INTEGER);
CREATE TABLE bookings (id INTEGER PRIMARY KEY, member_id INTEGER REFERENCES members(id), lesson_id INTEGER REFERENCES lessons(id), booked_on DATE, attended TEXT);
CREATE TABLE payments (id INTEGER PRIMARY KEY, member_id INTEGER REFERENCES members(id), amount REAL, discount REAL, paid_on DATE, method TEXT);

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
  (1, 1, 1, date('now', '-3 days'), 'yes'),
  (2, 1, 2, date('now', '-5 days'), 'no'),
  (3, 2, 2, date('now', '-12 days'), 'yes'),
  (4, 3, 3, date('now', '-15 days'), 'yes'),
  (5, 4, 4, date('now', '-20 days'), 'no'),
  (6, 5, 1, date('now', '-21 days'), 'yes'),
  (7, 5, 4, date('now', '-40 days'), 'yes'),
  (8, 2, 4, date('now', '-44 days'), 'yes'),
  (9, 7, 5, date('now', '-50 days'), 'no'),
  (10, 8, 2, date('now', '-55 days'), 'yes'),
  (11, 1, 3, date('now', '-75 days'), 'yes'),
  (12, 3, 1, date('now', '-110 days'), 'yes'),
  (13, 5, 2, date('now', '-130 days'), 'no'),
  (14, 7, 1, date('now', '-150 days'), 'yes'),
  (15, 4, 2, date('now', '-140 days'), 'no');
INSERT INTO payments (id, member_id, amount, discount, paid_on, method) VALUES
  (1, 1, 120.00, NULL, date('now', '-4 days'), 'card'),
  (2, 2, 60.00, 10.00, date('now', '-10 days'), 'cash'),
  (3, 3, 90.00, NULL, date('now', '-18 days'), 'card'),
  (4, 4, 60.00, NULL, NULL, 'transfer'),
  (5, 5, 120.00, 20.00, date('now', '-22 days'), 'card'),
  (6, 6, 60.00, 5.00, NULL, 'cash'),
  (7, 7, 90.00, 15.00, date('now', '-45 days'), 'transfer'),
  (8, 8, 60.00, NULL, date('now', '-52 days'), 'card'),
  (9, 1, 120.00, NULL, date('now', '-66 days'), 'card'),
  (10, 2, 60.00, NULL, date('now', '-70 days'), 'cash'),
  (11, 5, 120.00, 0.00, date('now', '-84 days'), 'card'),
  (12, 9, 120.00, NULL, date('now', '-2 days'), 'transfer');
