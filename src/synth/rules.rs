//! The phrasing rules: text files that say in how many ways a thing can be asked. `docs/SYNTHESIZE.md` shows how to
//! write one.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Problem, Result};
use crate::fsx;

/// The files that come with the program.
const EMBEDDED: &[(&str, &str)] = &[
    ("en/base.txt", include_str!("phrasing/en/base.txt")),
    ("en/wide.txt", include_str!("phrasing/en/wide.txt")),
    ("en/columns.txt", include_str!("phrasing/en/columns.txt")),
    ("en/relations.txt", include_str!("phrasing/en/relations.txt")),
    ("en/evidence.txt", include_str!("phrasing/en/evidence.txt")),
    ("en/further.txt", include_str!("phrasing/en/further.txt")),
    ("en/asked.txt", include_str!("phrasing/en/asked.txt")),
    ("en/direct.txt", include_str!("phrasing/en/direct.txt")),
    ("en/short.txt", include_str!("phrasing/en/short.txt")),
    ("en/business.txt", include_str!("phrasing/en/business.txt")),
    ("en/casual.txt", include_str!("phrasing/en/casual.txt")),
    ("en/polite.txt", include_str!("phrasing/en/polite.txt")),
    ("en/analyst.txt", include_str!("phrasing/en/analyst.txt")),
    ("en/manager.txt", include_str!("phrasing/en/manager.txt")),
    ("en/student.txt", include_str!("phrasing/en/student.txt")),
    ("en/question.txt", include_str!("phrasing/en/question.txt")),
    ("en/keywords.txt", include_str!("phrasing/en/keywords.txt")),
    ("en/colleague.txt", include_str!("phrasing/en/colleague.txt")),
    ("en/exam.txt", include_str!("phrasing/en/exam.txt")),
    ("en/conditions.txt", include_str!("phrasing/en/conditions.txt")),
    ("en/held-out.txt", include_str!("phrasing/en/held-out.txt")),
    ("pt/base.txt", include_str!("phrasing/pt/base.txt")),
    ("pt/wide.txt", include_str!("phrasing/pt/wide.txt")),
    ("pt/columns.txt", include_str!("phrasing/pt/columns.txt")),
    ("pt/relations.txt", include_str!("phrasing/pt/relations.txt")),
    ("pt/evidencia.txt", include_str!("phrasing/pt/evidencia.txt")),
    ("pt/mais.txt", include_str!("phrasing/pt/mais.txt")),
    ("pt/perguntas.txt", include_str!("phrasing/pt/perguntas.txt")),
    ("pt/direct.txt", include_str!("phrasing/pt/direct.txt")),
    ("pt/short.txt", include_str!("phrasing/pt/short.txt")),
    ("pt/gentil.txt", include_str!("phrasing/pt/gentil.txt")),
    ("pt/analista.txt", include_str!("phrasing/pt/analista.txt")),
    ("pt/pergunta.txt", include_str!("phrasing/pt/pergunta.txt")),
    ("pt/gerente.txt", include_str!("phrasing/pt/gerente.txt")),
    ("pt/palavras.txt", include_str!("phrasing/pt/palavras.txt")),
    ("pt/colega.txt", include_str!("phrasing/pt/colega.txt")),
    ("pt/prova.txt", include_str!("phrasing/pt/prova.txt")),
    ("pt/condicoes.txt", include_str!("phrasing/pt/condicoes.txt")),
    ("pt/held-out.txt", include_str!("phrasing/pt/held-out.txt")),
];

/// Slots that a line may leave out: a row is known by its label, a link goes without saying, and what the speaker adds of
/// its own (`row`, the verbs of a relation) nobody has to use.
const SOFT: &[&str] = &["label", "name", "link", "middle", "owner", "superior", "row", "by", "did", "done", "do"];

/// A slot or text of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text as it is.
    Text(String),
    /// What fills a slot.
    Slot {
        /// Its name.
        name: String,
        /// `{name+}`: in the plural.
        plural: bool,
        /// `{name?}`: nothing where it is not filled.
        optional: bool,
        /// `{name:o/a}`: not the slot but the form that agrees with it.
        forms: Vec<String>,
    },
}

/// A line of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its pieces.
    pub pieces: Vec<Piece>,
    /// `=…`: a whole sentence; others are put into one of the file's `ask` lines.
    pub sentence: bool,
}

impl Line {
    /// Whether the slots of this line are those that are filled: it uses all of them and no others, optional ones aside.
    pub fn fits(&self, filled: &[&str]) -> bool {
        let used =
            |name: &str| self.pieces.iter().any(|piece| matches!(piece, Piece::Slot { name: own, .. } if own == name));
        filled.iter().all(|name| used(name) || SOFT.contains(name)) && self.sayable(filled)
    }

    /// Whether all slots of this line are filled.
    pub fn sayable(&self, filled: &[&str]) -> bool {
        self.pieces.iter().all(|piece| match piece {
            Piece::Slot { name, optional, .. } => *optional || filled.contains(&name.as_str()),
            Piece::Text(_) => true,
        })
    }
}

/// One file.
#[derive(Debug, Clone)]
pub(super) struct RuleFile {
    /// `language:` two letters.
    pub language: String,
    /// `voice:` what the rows call it.
    pub voice: String,
    /// `part: held-out`: training never sees it.
    pub held_out: bool,
    /// `part: shared`: only what other files of the language fall back to.
    pub shared: bool,
    /// `case: lower`.
    pub lower: bool,
    /// How often it is taken, among those of its language and part.
    pub weight: usize,
    sections: BTreeMap<String, Vec<Line>>,
    special: BTreeMap<String, Vec<(When, Vec<Line>)>>,
}

/// For which columns a special section is: `@age, years ! birth date | person`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct When {
    /// What the column's words end with: one of these, and no other column of the table does.
    ends: Vec<String>,
    /// No column of the table may end with one of these: it could be meant as well.
    without: Vec<String>,
    /// Only where the rows are people.
    person: bool,
}

impl When {
    fn parse(text: &str) -> Self {
        let (text, kind) = text.split_once('|').unwrap_or((text, ""));
        let (ends, without) = text.split_once('!').unwrap_or((text, ""));
        let list = |text: &str| {
            text.split(',').map(|end| end.trim().to_owned()).filter(|end| !end.is_empty()).collect::<Vec<_>>()
        };
        Self { ends: list(ends), without: list(without), person: kind.trim() == "person" }
    }

    /// Whether it is for the column `said` of a table with these columns.
    pub fn holds<'c>(
        &self,
        said: &str,
        columns: impl Iterator<Item = &'c str> + Clone,
        person: impl Fn() -> bool,
    ) -> bool {
        let ends = |said: &str, ends: &[String]| {
            ends.iter().any(|end| {
                said.strip_suffix(end.as_str()).is_some_and(|front| front.is_empty() || front.ends_with(' '))
            })
        };
        ends(said, &self.ends)
            && columns.clone().filter(|column| ends(column, &self.ends)).count() == 1
            && !columns.clone().any(|column| ends(column, &self.without))
            && (!self.person || person())
    }
}

/// All files.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// The files.
    pub files: Vec<RuleFile>,
}

impl Rules {
    /// Those that come with the program, and those of a folder (`*.txt`).
    pub fn load(folder: Option<&Path>) -> Result<Self> {
        let mut files = Vec::new();
        for (name, text) in EMBEDDED {
            files.push(RuleFile::parse(text, name)?);
        }
        if let Some(folder) = folder {
            let mut paths = fsx::list_dir(folder)?;
            paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
            paths.sort();
            if paths.is_empty() {
                return Err(Problem::input(format!("{} holds no phrasing rules (*.txt)", folder.display())).into());
            }
            for path in paths {
                files.push(RuleFile::parse(&fsx::read_text(&path)?, &path.display().to_string())?);
            }
        }
        Ok(Self { files })
    }

    /// The files of a language and part that ask.
    pub fn voices(&self, language: &str, held_out: bool) -> Vec<&RuleFile> {
        self.files
            .iter()
            .filter(|file| file.language == language && file.held_out == held_out && !file.shared)
            .collect()
    }

    /// The languages there are.
    pub fn languages(&self) -> Vec<&str> {
        let mut languages: Vec<&str> = self.files.iter().map(|file| file.language.as_str()).collect();
        languages.sort_unstable();
        languages.dedup();
        languages
    }

    /// The lines of a section that fit the slots: the file's own, else (for a file of the training part) those of the
    /// language's shared files; conditions are those of all its training files, but for files in lower case.
    pub fn lines<'r>(&'r self, file: &'r RuleFile, section: &str, filled: &[&str]) -> Vec<&'r Line> {
        self.lines_of(file, section, |line| line.fits(filled))
    }

    /// The same for lines that `fits` holds of.
    pub fn lines_of<'r>(&'r self, file: &'r RuleFile, section: &str, fits: impl Fn(&Line) -> bool) -> Vec<&'r Line> {
        let fitting = |file: &'r RuleFile| {
            file.sections.get(section).into_iter().flatten().filter(|line| fits(line)).collect::<Vec<_>>()
        };
        let of_language = |other: &&'r RuleFile| !other.held_out && other.language == file.language;
        // What is asked for and the condition behind it are worded apart: all that training says goes with all else.
        if section.starts_with("where") && !file.held_out && !file.lower {
            return self.files.iter().filter(of_language).filter(|other| !other.lower).flat_map(fitting).collect();
        }
        let own = fitting(file);
        if !own.is_empty() || file.held_out {
            return own;
        }
        self.files.iter().filter(of_language).filter(|shared| shared.shared).flat_map(fitting).collect()
    }

    /// The lines of a section for a kind of column, where `holds` says that it is one: the file's own and, for a file of
    /// the training part, those of the language's shared files.
    pub fn special<'r>(&'r self, file: &'r RuleFile, section: &str, holds: impl Fn(&When) -> bool) -> Vec<&'r Line> {
        let shared =
            self.files.iter().filter(|shared| shared.shared && shared.language == file.language && !file.held_out);
        std::iter::once(file)
            .chain(shared)
            .flat_map(|file| file.special.get(section).into_iter().flatten())
            .filter(|(when, _)| holds(when))
            .flat_map(|(_, lines)| lines)
            .collect()
    }
}

/// What the sections of a `[[ … ]]` block are written for: columns, and the words for `<1>`, `<2>` ….
type Entry = (When, Vec<String>);

/// `age | person: older, younger`.
fn entry(line: &str) -> Option<Entry> {
    let (when, words) = line.split_once(':')?;
    Some((When::parse(when), words.split(',').map(|word| word.trim().to_owned()).collect()))
}

#[cfg(test)]
impl Line {
    /// Words outside the slots.
    pub fn words(&self) -> usize {
        let words = |piece: &Piece| match piece {
            Piece::Text(text) => text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).count(),
            Piece::Slot { .. } => 0,
        };
        self.pieces.iter().map(words).sum()
    }
}

impl RuleFile {
    fn parse(text: &str, name: &str) -> Result<Self> {
        let mut file = Self {
            language: String::new(),
            voice: String::new(),
            held_out: false,
            shared: false,
            lower: false,
            weight: 1,
            sections: BTreeMap::new(),
            special: BTreeMap::new(),
        };
        let mut section: Option<(String, Option<When>)> = None;
        let mut entries: Vec<Entry> = Vec::new();
        let mut listing = false;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            let wrong = |why: &str| {
                Problem::input(format!("{name}:{}: {why}", number + 1))
                    .hint("docs/SYNTHESIZE.md shows the form of a rule file")
            };
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line {
                "[[" => {
                    (section, listing) = (None, true);
                    entries.clear();
                    continue;
                }
                "]]" => {
                    listing = false;
                    continue;
                }
                _ if listing => {
                    entries.push(entry(line).ok_or_else(|| wrong("no `columns: words`"))?);
                    continue;
                }
                _ => {}
            }
            if let Some(head) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                let (head, when) = head.split_once('@').map_or((head, None), |(head, when)| (head, Some(when)));
                section = Some((head.trim().to_owned(), when.map(When::parse)));
                continue;
            }
            let Some((section, when)) = &section else {
                let (key, value) = line.split_once(':').ok_or_else(|| wrong("neither `key: value` nor `[section]`"))?;
                match (key.trim(), value.trim()) {
                    ("language", value) => file.language = value.to_owned(),
                    ("voice", value) => file.voice = value.to_owned(),
                    ("part", "train") => {}
                    ("part", "held-out") => file.held_out = true,
                    ("part", "shared") => file.shared = true,
                    ("case", "lower") => file.lower = true,
                    ("weight", value) => file.weight = value.parse().map_err(|_| wrong("weight is no number"))?,
                    (key, value) => return Err(wrong(&format!("unknown setting `{key}: {value}`")).into()),
                }
                continue;
            };
            let (line, sentence) = line.strip_prefix('=').map_or((line, false), |line| (line.trim(), true));
            let open = || wrong("a `{` without its `}`");
            let special: Vec<(When, String)> = match when {
                Some(when) => vec![(when.clone(), line.to_owned())],
                None => entries.iter().filter_map(|(when, words)| Some((when.clone(), filled(line, words)?))).collect(),
            };
            if when.is_none() && entries.is_empty() {
                let pieces = pieces(line).ok_or_else(open)?;
                file.sections.entry(section.clone()).or_default().push(Line { pieces, sentence });
            }
            for (when, line) in special {
                let line = Line { pieces: pieces(&line).ok_or_else(open)?, sentence };
                let lists = file.special.entry(section.clone()).or_default();
                match lists.iter_mut().find(|(known, _)| *known == when) {
                    Some((_, lines)) => lines.push(line),
                    None => lists.push((when, vec![line])),
                }
            }
        }
        if file.language.is_empty() || file.voice.is_empty() {
            return Err(Problem::input(format!("{name} does not say its `language:` and `voice:`")).into());
        }
        Ok(file)
    }

    /// The sections.
    #[cfg(test)]
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.sections.keys().map(String::as_str)
    }

    /// All lines, each with its section.
    #[cfg(test)]
    pub fn all_lines(&self) -> impl Iterator<Item = (&str, &Line)> {
        self.sections.iter().flat_map(|(section, lines)| lines.iter().map(move |line| (section.as_str(), line)))
    }

    /// Whether it has lines of its own for a section.
    #[cfg(test)]
    pub fn has(&self, section: &str) -> bool {
        self.sections.contains_key(section)
    }
}

/// The line with an entry's words for `<1>`, `<2>` …; none where the entry has no such word (or `-`).
fn filled(line: &str, words: &[String]) -> Option<String> {
    let mut line = line.to_owned();
    for (at, word) in words.iter().enumerate().filter(|(_, word)| *word != "-") {
        line = line.replace(&format!("<{}>", at + 1), word);
    }
    (!(line.contains('<') && line.contains('>'))).then_some(line)
}

fn pieces(line: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = line;
    while let Some((text, after)) = rest.split_once('{') {
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        let (slot, after) = after.split_once('}')?;
        let (slot, forms) = match slot.split_once(':') {
            Some((slot, forms)) => (slot, forms.split('/').map(str::to_owned).collect()),
            None => (slot, Vec::new()),
        };
        let (slot, optional) = slot.strip_suffix('?').map_or((slot, false), |slot| (slot, true));
        let (slot, plural) = slot.strip_suffix('+').map_or((slot, false), |slot| (slot, true));
        pieces.push(Piece::Slot { name: slot.to_owned(), plural, optional, forms });
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_only_complete_ones_fit() {
        let text = "language: xx\nvoice: plain\n# a remark\n[count]\n=How many {table+} {where?}?\n{table:a/an} {table} in {value}";
        let file = RuleFile::parse(text, "test").unwrap();
        let lines = &file.sections["count"];
        assert!(lines[0].sentence && !lines[1].sentence);
        assert!(lines[0].fits(&["table"]) && lines[0].fits(&["table", "where"]));
        assert!(!lines[0].fits(&["table", "value"]), "a slot that says something must be said");
        assert!(!lines[1].fits(&["table"]), "a slot that is not filled cannot be said");
        for wrong in ["[x]\ny", "language: xx\nvoice: y\npart: no\n", "language: xx\nvoice: y\n[a]\n{b"] {
            assert!(RuleFile::parse(wrong, "test").is_err(), "{wrong}");
        }
    }

    #[test]
    fn special_sections_are_for_their_columns() {
        let text = "language: xx\nvoice: plain\n[a]\nx\n[b @price, cost ! fee | person]\ny\n[[\nage: older, -\nhire date: hired, new\n]]\n[b]\n<1>\n<2>";
        let file = RuleFile::parse(text, "test").unwrap();
        let when = |at: usize| &file.special["b"][at].0;
        assert_eq!(file.special["b"].iter().map(|(_, lines)| lines.len()).collect::<Vec<_>>(), [1, 1, 2]);
        let holds =
            |at: usize, said, columns: &[&str], person| when(at).holds(said, columns.iter().copied(), || person);
        assert!(holds(0, "unit price", &["unit price", "price list"], true));
        assert!(!holds(0, "unit price", &["unit price"], false), "no people");
        assert!(!holds(0, "unit price", &["unit price", "cost"], true), "two that could be meant");
        assert!(!holds(0, "price", &["price", "fee"], true), "one that must not be there");
        assert!(holds(1, "age", &["age", "mileage"], false) && !holds(1, "mileage", &["mileage"], false));
        assert!(holds(2, "hire date", &["hire date", "birth date"], false));
        assert_eq!(file.sections.len(), 1);
    }

    #[test]
    fn the_files_that_come_with_the_program_are_sound() {
        let rules = Rules::load(None).unwrap();
        assert_eq!(rules.languages(), ["en", "pt"]);
        for language in rules.languages() {
            assert!(!rules.voices(language, true).is_empty(), "{language} has nothing to hold out");
            assert!(rules.voices(language, false).len() >= 2);
        }
    }
}
