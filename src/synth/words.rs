//! Names turned into words: `tbl_custOrderDt` says "customer order date".

/// What people shorten. Only shortenings that mean one thing in a database.
const ABBREVIATIONS: &[(&str, &str)] = &[
    ("acct", "account"),
    ("addr", "address"),
    ("amt", "amount"),
    ("appt", "appointment"),
    ("avg", "average"),
    ("bal", "balance"),
    ("cat", "category"),
    ("cd", "code"),
    ("cnt", "count"),
    ("cty", "city"),
    ("ctry", "country"),
    ("cust", "customer"),
    ("dept", "department"),
    ("desc", "description"),
    ("descr", "description"),
    ("dob", "date of birth"),
    ("dt", "date"),
    ("emp", "employee"),
    ("fname", "first name"),
    ("lname", "last name"),
    ("inv", "invoice"),
    ("loc", "location"),
    ("mgr", "manager"),
    ("msg", "message"),
    ("nbr", "number"),
    ("num", "number"),
    ("ord", "order"),
    ("org", "organization"),
    ("pct", "percentage"),
    ("pmt", "payment"),
    ("prc", "price"),
    ("prod", "product"),
    ("pwd", "password"),
    ("qty", "quantity"),
    ("ref", "reference"),
    ("sal", "salary"),
    ("stmt", "statement"),
    ("temp", "temperature"),
    ("tel", "phone"),
    ("tot", "total"),
    ("txn", "transaction"),
    ("usr", "user"),
    ("val", "value"),
    ("wt", "weight"),
    ("yr", "year"),
    ("zip", "postal code"),
];

/// Words in front of a table's name that say nothing.
const PREFIXES: &[&str] = &["tbl", "tb", "t", "dim", "fact", "vw", "stg"];

/// What days are called whose column says `x_on` or `x_at`.
const PARTICIPLES: &[(&str, &str)] = &[
    ("created", "creation"),
    ("updated", "update"),
    ("hired", "hire"),
    ("joined", "joining"),
    ("registered", "registration"),
    ("opened", "opening"),
    ("closed", "closing"),
    ("started", "start"),
    ("ended", "end"),
    ("delivered", "delivery"),
    ("shipped", "shipping"),
    ("ordered", "order"),
    ("published", "publication"),
    ("posted", "posting"),
    ("collected", "collection"),
    ("installed", "installation"),
    ("issued", "issue"),
    ("planted", "planting"),
    ("booked", "booking"),
    ("paid", "payment"),
    ("visited", "visit"),
    ("donated", "donation"),
    ("arrived", "arrival"),
    ("launched", "launch"),
    ("received", "receipt"),
    ("returned", "return"),
    ("purchased", "purchase"),
    ("released", "release"),
    ("expires", "expiry"),
];

/// Words whose plural no rule gives.
const IRREGULAR: &[(&str, &str)] = &[
    ("person", "people"),
    ("child", "children"),
    ("man", "men"),
    ("woman", "women"),
    ("staff", "staff"),
    ("series", "series"),
    ("species", "species"),
    ("foot", "feet"),
    ("mouse", "mice"),
    ("criterion", "criteria"),
    ("datum", "data"),
    ("medium", "media"),
    ("news", "news"),
    ("equipment", "equipment"),
    ("stock", "stock"),
    ("inventory", "inventory"),
    ("history", "history"),
    ("leaf", "leaves"),
    ("shelf", "shelves"),
    ("half", "halves"),
    ("life", "lives"),
    ("wife", "wives"),
    ("knife", "knives"),
    ("quiz", "quizzes"),
];

/// Words that end in -as, -is, -os and are one.
const SINGULAR_IN_S: &[&str] =
    &["canvas", "atlas", "alias", "bias", "tennis", "iris", "debris", "metropolis", "cosmos", "chaos", "whereas"];

/// The words of a name, in lower case: split at underscores, spaces, hyphens, digits' edges and capitals, with
/// abbreviations written out.
pub(super) fn split(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let chars: Vec<char> = name.chars().collect();
    for (at, &c) in chars.iter().enumerate() {
        if !c.is_alphanumeric() {
            words.push(std::mem::take(&mut word));
            continue;
        }
        let previous = at.checked_sub(1).and_then(|at| chars.get(at)).copied();
        let next = chars.get(at + 1).copied();
        let hump = c.is_uppercase()
            && (previous.is_some_and(char::is_lowercase)
                || (previous.is_some_and(char::is_uppercase) && next.is_some_and(char::is_lowercase)));
        if hump {
            words.push(std::mem::take(&mut word));
        }
        word.extend(c.to_lowercase());
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words.iter().flat_map(|word| long_form(word).split(' ').map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn long_form(word: &str) -> &str {
    ABBREVIATIONS.iter().find(|(short, _)| *short == word).map_or(word, |(_, long)| long)
}

/// The words of a table's name, the last one in the singular.
pub(super) fn table(name: &str) -> Vec<String> {
    let mut words = split(name);
    while words.len() > 1 && words.first().is_some_and(|word| PREFIXES.contains(&word.as_str())) {
        words.remove(0);
    }
    let at = words.len() - usize::from(words.len() > 1 && words.last().is_some_and(|last| is_part(last)));
    if let Some(last) = at.checked_sub(1).and_then(|at| words.get_mut(at)) {
        *last = singular(last);
    }
    words
}

/// Whether the last word of a table's name says which part it holds: a year, a quarter, a half-year.
pub(super) fn is_part(word: &str) -> bool {
    let year = word.len() == 4 && word.bytes().all(|c| c.is_ascii_digit());
    let piece =
        word.strip_prefix(['q', 'h']).is_some_and(|rest| rest.len() == 1 && rest.bytes().all(|c| c.is_ascii_digit()));
    year || piece
}

/// The words of a column's name; what only marks a key is kept, because people say "customer id".
/// `hired_on` and `created_at` are said as "hire date" and "creation date".
pub(super) fn column(name: &str) -> Vec<String> {
    let mut words = split(name);
    if let [.., participle, last] = words.as_mut_slice()
        && (last == "on" || last == "at")
    {
        *last = "date".into();
        if let Some((_, noun)) = PARTICIPLES.iter().find(|(own, _)| own == participle) {
            *participle = (*noun).to_owned();
        }
    }
    words
}

/// The singular of an English word.
pub(super) fn singular(word: &str) -> String {
    if let Some((one, _)) = IRREGULAR.iter().find(|(one, many)| *many == word || *one == word) {
        return (*one).to_owned();
    }
    let cut = |n: usize, end: &str| format!("{}{end}", &word[..word.len() - n]);
    if !word.is_ascii() || word.len() < 4 {
        return word.to_owned();
    }
    if word.ends_with("men") && word.len() > 5 && word != "specimen" && word != "regimen" {
        return cut(2, "an");
    }
    if word.ends_with("ies") && word.len() > 4 && word != "movies" {
        return cut(3, "y");
    }
    for end in ["sses", "shes", "ches", "xes", "zes"] {
        if word.ends_with(end) {
            return cut(2, "");
        }
    }
    if ["ss", "us", "sis", "xis"].iter().any(|end| word.ends_with(end)) || !word.ends_with('s') {
        return word.to_owned();
    }
    if SINGULAR_IN_S.contains(&word) {
        return word.to_owned();
    }
    if word.ends_with("uses") && word.len() > 5 {
        // statuses, buses and bonuses; houses and warehouses keep their e.
        return if word.ends_with("ouses") || word.ends_with("auses") { cut(1, "") } else { cut(2, "") };
    }
    cut(1, "")
}

/// The plural of an English word.
pub(super) fn plural(word: &str) -> String {
    if let Some((_, many)) = IRREGULAR.iter().find(|(one, many)| *one == word || *many == word) {
        return (*many).to_owned();
    }
    if word.ends_with("man") && word.is_ascii() && !["human", "german", "roman", "talisman"].contains(&word) {
        return format!("{}en", &word[..word.len() - 2]);
    }
    let consonant_y = word.ends_with('y') && !["ay", "ey", "oy", "uy"].iter().any(|end| word.ends_with(end));
    if consonant_y && word.is_ascii() && word.len() > 1 {
        return format!("{}ies", &word[..word.len() - 1]);
    }
    if ["s", "x", "z", "ch", "sh"].iter().any(|end| word.ends_with(end)) {
        return format!("{word}es");
    }
    format!("{word}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_words() {
        for (name, words) in [
            ("customer_id", "customer id"),
            ("unitPrice", "unit price"),
            ("HTMLPage", "html page"),
            ("order-items", "order items"),
            ("emp_dob", "employee date of birth"),
            ("TotalAmt", "total amount"),
            ("preço", "preço"),
            ("Address2", "address2"),
        ] {
            assert_eq!(split(name).join(" "), words, "{name}");
        }
        for (name, words) in [
            ("tbl_cust", "customer"),
            ("order_items", "order item"),
            ("Categories", "category"),
            ("people", "person"),
            ("statuses", "status"),
            ("warehouses", "warehouse"),
            ("boxes", "box"),
            ("areas", "area"),
            ("photos", "photo"),
            ("analysis", "analysis"),
            ("canvas", "canvas"),
            ("classes", "class"),
            ("bus", "bus"),
            ("movies", "movie"),
            ("sales_2023", "sale 2023"),
            ("orders_q1", "order q1"),
        ] {
            assert_eq!(table(name).join(" "), words, "{name}");
        }
    }

    #[test]
    fn days_are_called_dates() {
        assert_eq!(column("hired_on").join(" "), "hire date");
        assert_eq!(column("createdAt").join(" "), "creation date");
        assert_eq!(column("logged_at").join(" "), "logged date");
    }

    #[test]
    fn plurals() {
        for (one, many) in [
            ("fireman", "firemen"),
            ("city", "cities"),
            ("day", "days"),
            ("box", "boxes"),
            ("person", "people"),
            ("class", "classes"),
        ] {
            assert_eq!(plural(one), many);
            assert_eq!(singular(many), one);
        }
    }
}
