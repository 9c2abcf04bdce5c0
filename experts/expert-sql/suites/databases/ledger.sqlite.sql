CREATE TABLE wallets (id INTEGER PRIMARY KEY, holder TEXT, currency TEXT);
CREATE TABLE movements (id INTEGER PRIMARY KEY, wallet_id INTEGER REFERENCES wallets(id), moved_on DATE, amount REAL, kind TEXT);

-- rows
INSERT INTO wallets (id, holder, currency) VALUES
  (1, 'Ruth', 'EUR'),
  (2, 'Sven', 'USD'),
  (3, 'Tina', 'EUR'),
  (4, 'Umar', 'BRL');
INSERT INTO movements (id, wallet_id, moved_on, amount, kind) VALUES
  (1, 1, '2024-01-05', 500.00, 'in'),
  (2, 1, '2024-01-19', 120.00, 'out'),
  (3, 2, '2024-01-23', 900.00, 'in'),
  (4, 3, '2024-02-02', 250.00, 'in'),
  (5, 1, '2024-02-11', 75.50, 'out'),
  (6, 2, '2024-02-15', 310.00, 'out'),
  (7, 3, '2024-02-27', 60.25, 'out'),
  (8, 1, '2024-03-04', 640.00, 'in'),
  (9, 2, '2024-03-12', 12.50, 'fee'),
  (10, 3, '2024-03-20', 430.00, 'in'),
  (11, 1, '2024-04-08', 8.75, 'fee'),
  (12, 2, '2024-04-16', 205.00, 'out'),
  (13, 3, '2024-05-06', 99.90, 'out'),
  (14, 2, '2024-05-21', 700.00, 'in'),
  (15, 1, '2024-06-10', 33.00, 'out');
