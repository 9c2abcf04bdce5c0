//! Values that fit a column's words and type, for tables without rows.

use std::sync::LazyLock;

use super::Cell;
use super::draw::Draws;
use super::role::{self, Role};
use super::words;
use crate::sql::{Column, Table};

/// Sections of `values.txt`: the words they serve, and the values.
static LISTS: LazyLock<Vec<(Vec<String>, Vec<String>)>> = LazyLock::new(|| lists(include_str!("values.txt")));

/// Share of the optional columns that miss values.
const COLUMNS_WITH_NULLS: f64 = 0.3;

/// Share of the rows of such a column without a value.
const NULLS: f64 = 0.15;

fn lists(text: &str) -> Vec<(Vec<String>, Vec<String>)> {
    let mut lists: Vec<(Vec<String>, Vec<String>)> = Vec::new();
    let items = |line: &str| line.split(',').map(|item| item.trim().to_owned()).collect::<Vec<_>>();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(head) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            lists.push((items(head), Vec::new()));
        } else if let Some((_, values)) = lists.last_mut() {
            values.extend(items(line));
        }
    }
    lists
}

/// The list whose words end `words`; the longest match wins.
fn list_for(words: &str) -> Option<&'static [String]> {
    LISTS
        .iter()
        .flat_map(|(heads, values)| heads.iter().map(move |head| (head, values)))
        .filter(|(head, _)| words == head.as_str() || words.ends_with(&format!(" {head}")))
        .max_by_key(|(head, _)| head.len())
        .map(|(_, values)| values.as_slice())
}

/// Tables whose rows are people.
const PEOPLE: &[&str] = &[
    "person",
    "customer",
    "employee",
    "student",
    "user",
    "member",
    "author",
    "client",
    "patient",
    "teacher",
    "player",
    "driver",
    "staff",
    "worker",
    "guest",
    "visitor",
    "artist",
    "actor",
    "doctor",
    "nurse",
    "trainer",
    "coach",
    "agent",
    "manager",
    "buyer",
    "tenant",
    "passenger",
    "pilot",
    "reader",
    "volunteer",
    "researcher",
    "owner",
    "musician",
    "farmer",
    "speaker",
    "instructor",
    "participant",
    "cliente",
    "funcionario",
    "aluno",
    "usuario",
    "professor",
    "borrower",
    "donor",
    "director",
    "editor",
    "reviewer",
    "host",
    "attendee",
    "applicant",
    "contact",
    "salesperson",
    "seller",
    "writer",
    "singer",
    "rider",
    "sailor",
    "veterinarian",
    "curator",
    "astronomer",
    "beekeeper",
    "courier",
    "colleague",
    "keeper",
    "climber",
    "guide",
    "chef",
    "waiter",
    "lender",
    "resident",
    "scientist",
    "technician",
    "officer",
    "constable",
    "soldier",
    "surgeon",
    "dentist",
    "pharmacist",
    "firefighter",
    "judge",
    "lawyer",
    "attorney",
    "deputy",
    "candidate",
    "journalist",
    "reporter",
    "novelist",
    "photographer",
    "architect",
    "contractor",
    "realtor",
    "lodger",
    "tourist",
    "camper",
    "mountaineer",
    "captain",
    "trucker",
    "cabbie",
    "cashier",
    "barista",
    "brewer",
    "winemaker",
    "rancher",
    "gardener",
    "jockey",
    "priest",
    "librarian",
    "archivist",
    "dancer",
    "choreographer",
    "miner",
    "operator",
    "engineer",
    "astronaut",
    "cyclist",
    "swimmer",
    "gymnast",
    "athlete",
    "gamer",
    "conductor",
    "vocalist",
    "announcer",
    "viewer",
    "subscriber",
    "recruiter",
    "consultant",
    "freelancer",
    "saver",
    "investor",
    "trader",
    "taxpayer",
    "citizen",
    "therapist",
    "stylist",
    "cleaner",
    "guardian",
    "child",
    "lecturer",
    "examinee",
    "tutor",
    "scholar",
    "translator",
    "respondent",
    "gambler",
    "dealer",
    "collector",
    "jeweler",
    "florist",
    "planner",
    "delegate",
    "fan",
    "ancestor",
    "adjuster",
    "caregiver",
    "educator",
    "counselor",
    "developer",
    "programmer",
    "coder",
    "traveller",
    "sculptor",
    "painter",
    "playwright",
    "presenter",
    "blogger",
    "mechanic",
    "footballer",
    "fisherman",
    "diver",
    "interpreter",
    "examiner",
    "scout",
    "umpire",
    "renter",
    "landlord",
    "landlady",
    "adopter",
    "shopper",
    "caller",
    "marketer",
    "lead",
    "payee",
    "performer",
];

/// Whether the rows of a table called so are people.
pub(super) fn is_person(words: &str) -> bool {
    PEOPLE.iter().any(|person| words == *person || words.ends_with(&format!(" {person}")))
}

/// Makes the values of one column.
pub(super) struct Maker {
    role: Role,
    kind: String,
    words: String,
    list: Option<Vec<String>>,
    nulls: bool,
    /// Days are drawn up to this one.
    range: (f64, f64),
}

impl Maker {
    /// For a column of a table.
    pub fn new(table: &Table, column: &Column, draws: &mut Draws) -> Self {
        let role = role::of(table, column);
        let said = words::column(column.name.text()).join(" ");
        let table_words = words::table(table.name.text()).join(" ");
        let kind = column.data_type.clone().unwrap_or_default().to_ascii_uppercase();
        let list = allowed(column).or_else(|| text_list(role, &said, &table_words, draws));
        let optional = !column.not_null
            && !matches!(role, Role::Key | Role::Reference | Role::Label | Role::Flag)
            && !table.primary_key.contains(&column.name);
        let nulls = optional && draws.chance(COLUMNS_WITH_NULLS);
        let range = range(role, &said, draws);
        Self { role, kind, words: said, list, nulls, range }
    }

    /// The value of row `row`.
    pub fn value(&self, row: usize, draws: &mut Draws) -> Cell {
        if self.nulls && draws.chance(NULLS) {
            return Cell::Null;
        }
        if let Some(list) = &self.list {
            return self.listed(list, row, draws);
        }
        let whole = self.kind.contains("INT") || self.kind.contains("SERIAL");
        match self.role {
            Role::Key | Role::Reference => Cell::Integer(row as i64 + 1),
            Role::Flag if self.kind.contains("CHAR") || self.kind.contains("TEXT") => {
                Cell::Text(if draws.chance(0.6) { "yes" } else { "no" }.into())
            }
            Role::Flag => Cell::Integer(i64::from(draws.chance(0.6))),
            Role::Year => Cell::Integer(draws.between(self.range.0 as i64, self.range.1 as i64)),
            Role::Date => Cell::Text(day(draws)),
            Role::Timestamp => {
                let (hour, minute) = (draws.between(7, 21), draws.between(0, 59));
                Cell::Text(format!("{} {hour:02}:{minute:02}:00", day(draws)))
            }
            Role::Code if role::is_number_type(&self.kind) => Cell::Integer(draws.between(1000, 9999)),
            Role::Code => {
                let letters: String = (0..2).map(|_| (b'A' + draws.below(26) as u8) as char).collect();
                Cell::Text(format!("{letters}-{:03}", draws.between(1, 999)))
            }
            Role::Phone => Cell::Text(format!("+{} {}", draws.between(30, 60), draws.between(200_000, 999_999))),
            role if role.is_number() || role::is_number_type(&self.kind) => {
                let (low, high) = self.range;
                // Squared: many small values, few large ones, as prices and amounts are.
                let unit = draws.below(10_000) as f64 / 10_000.0;
                let unit = if self.role == Role::Measure { unit } else { unit * unit };
                let number = low + unit * (high - low);
                if whole { Cell::Integer(number.round() as i64) } else { Cell::Real((number * 100.0).round() / 100.0) }
            }
            Role::Other if self.kind.starts_with("TIME") => {
                Cell::Text(format!("{:02}:{:02}:00", draws.between(6, 22), draws.between(0, 59)))
            }
            Role::Other => Cell::Null,
            _ => Cell::Text(syllables(draws)),
        }
    }

    fn listed(&self, list: &[String], row: usize, draws: &mut Draws) -> Cell {
        let text = match self.role {
            Role::Email => {
                let name = list.get(row % list.len()).cloned().unwrap_or_default();
                let name = name.to_lowercase().replace(' ', ".");
                let home = ["example.com", "mail.test", "post.example"][draws.below(3)];
                let number = row / list.len();
                if number == 0 { format!("{name}@{home}") } else { format!("{name}{number}@{home}") }
            }
            // Labels differ, except that now and then two rows share one, as people do.
            Role::Label if !draws.chance(0.04) => {
                let name = list.get(row % list.len()).cloned().unwrap_or_default();
                let number = row / list.len() + 1;
                if number == 1 { name } else { format!("{name} {number}") }
            }
            _ => draws.pick(list).cloned().unwrap_or_default(),
        };
        match text.parse::<i64>() {
            Ok(number) if role::is_number_type(&self.kind) => Cell::Integer(number),
            _ => Cell::Text(text),
        }
    }

    /// Whether this column holds days.
    pub fn is_date(&self) -> bool {
        self.role.is_date()
    }

    /// Its words.
    pub fn words(&self) -> &str {
        &self.words
    }
}

/// A day of the four years before 2026: made-up rows do not depend on the day they are made.
fn day(draws: &mut Draws) -> String {
    format!("{}-{:02}-{:02}", draws.between(2022, 2025), draws.between(1, 12), draws.between(1, 28))
}

/// The values that a CHECK … IN (…) or an ENUM(…) allows.
fn allowed(column: &Column) -> Option<Vec<String>> {
    let kind = column.data_type.as_deref().unwrap_or("");
    let text = if kind.to_ascii_uppercase().starts_with("ENUM") { Some(kind) } else { column.check.as_deref() }?;
    if text != kind && !text.to_ascii_uppercase().contains(" IN ") {
        return None;
    }
    let words: Vec<String> = text.split('\'').skip(1).step_by(2).map(str::to_owned).collect();
    (!words.is_empty()).then_some(words)
}

fn text_list(role: Role, said: &str, table: &str, draws: &mut Draws) -> Option<Vec<String>> {
    let listed = |words: &str| list_for(words).map(<[String]>::to_vec);
    let mut list = match role {
        Role::Email => listed("person"),
        Role::Label => {
            let own = said.rsplit_once(' ').map_or("", |(owner, _)| owner);
            match () {
                () if list_for(said).is_some() && said.contains(' ') => listed(said),
                () if is_person(table) || PEOPLE.contains(&own) => listed("person"),
                () => listed(own).or_else(|| listed(table)).or_else(|| listed(said)),
            }
        }
        Role::Category | Role::Text => listed(said).or_else(|| {
            let own = said.strip_suffix(" name").or_else(|| said.strip_suffix(" title"))?;
            listed(own)
        }),
        _ => return None,
    };
    if list.is_none() && matches!(role, Role::Label) {
        list = Some((0..30).map(|_| syllables(draws)).collect());
    }
    if list.is_none() && role == Role::Category {
        list = Some((0..5).map(|_| syllables(draws).to_lowercase()).collect());
    }
    let mut list = draws.shuffled(&list?);
    // Not every database knows every status.
    if role == Role::Category && list.len() > 4 {
        list.truncate(3 + draws.below(4));
    }
    Some(list)
}

/// Lowest and highest number that fit the words.
fn range(role: Role, said: &str, draws: &mut Draws) -> (f64, f64) {
    let has = |words: &[&str]| words.iter().any(|word| said.split(' ').any(|own| own == *word));
    match role {
        Role::Year if has(&["birth"]) => (1940.0, 2004.0),
        Role::Year if has(&["founded", "built", "opened", "open", "formed", "discovered", "laid"]) => (1880.0, 2022.0),
        Role::Year => (1998.0, 2025.0),
        _ if has(&["age", "idade"]) => (18.0, 80.0),
        _ if has(&["rating", "stars", "nota"]) => (1.0, 5.0),
        _ if has(&["score", "percentage", "pct"]) => (0.0, 100.0),
        _ if has(&["gpa"]) => (1.0, 4.0),
        _ if has(&["discount", "tax", "rate"]) => (0.0, 30.0),
        _ if has(&["salary", "salario", "income", "wage"]) => (1800.0, 12000.0),
        _ if has(&["budget", "revenue", "population", "capacity"]) => (1000.0, 90000.0),
        _ if has(&["floors", "floor", "bedrooms", "bathrooms", "rooms", "seasons", "beds", "terms"]) => (1.0, 9.0),
        _ if has(&["weight"]) => (1.0, 120.0),
        _ if has(&["experience"]) => (0.0, 35.0),
        _ if has(&["minutes", "duration"]) => (5.0, 240.0),
        _ if has(&["temperature"]) => (-5.0, 35.0),
        _ if has(&["height"]) => (150.0, 200.0),
        _ if has(&["latitude", "longitude"]) => (-90.0, 90.0),
        _ if has(&["quantity", "quantidade", "nights", "seats"]) => (1.0, 20.0),
        _ if has(&["floor", "level", "month", "grade"]) => (1.0, 12.0),
        Role::Money => [(5.0, 120.0), (10.0, 900.0), (50.0, 3000.0)][draws.below(3)],
        Role::Quantity => [(0.0, 60.0), (1.0, 200.0), (0.0, 900.0)][draws.below(3)],
        _ => [(1.0, 100.0), (0.0, 10.0), (20.0, 500.0)][draws.below(3)],
    }
}

/// A word that nobody has seen before: two or three syllables.
pub(super) fn syllables(draws: &mut Draws) -> String {
    const STARTS: &[&str] = &[
        "b", "br", "c", "d", "dr", "f", "fl", "g", "gr", "h", "k", "l", "m", "n", "p", "pl", "r", "s", "st", "t", "tr",
        "v", "w", "z",
    ];
    const MIDDLES: &[&str] = &["a", "e", "i", "o", "u", "ai", "ea", "oo"];
    const ENDS: &[&str] = &["", "", "l", "m", "n", "r", "rt", "sk", "nd", "x"];
    let mut word = String::new();
    for _ in 0..2 + draws.below(2) {
        for part in [STARTS, MIDDLES] {
            word.push_str(part[draws.below(part.len())]);
        }
    }
    word.push_str(ENDS[draws.below(ENDS.len())]);
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}
