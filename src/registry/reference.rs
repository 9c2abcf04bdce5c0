//! `sql@0.3` as people type it.

use super::index::{Expert, Version, compare_versions};

/// A name and perhaps a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// With its `expert-` prefix.
    pub name: String,
    /// Whole (`0.3.0`) or the beginning of one (`0.3`).
    pub version: Option<String>,
}

impl Reference {
    /// Splits at the first `@` and adds the prefix.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let (name, version) = text.split_once('@').map_or((text, None), |(name, version)| (name, Some(version)));
        let name = name.trim();
        let name = if name.starts_with("expert-") { name.to_owned() } else { format!("expert-{name}") };
        let version = version.map(str::trim).filter(|v| !v.is_empty() && *v != "latest").map(str::to_owned);
        Self { name, version }
    }

    /// The version that is meant: the whole one, else the newest that begins with it, else (without one) the newest.
    pub fn pick<'a>(&self, expert: &'a Expert) -> Option<&'a Version> {
        let newest = |a: &&&Version, b: &&&Version| compare_versions(&a.version, &b.version);
        let all: Vec<&Version> = expert.versions.iter().collect();
        let Some(wanted) = &self.version else { return all.iter().max_by(newest).copied() };
        let wanted = wanted.strip_prefix('v').unwrap_or(wanted);
        if let Some(exact) = all.iter().find(|v| v.version == wanted) {
            return Some(exact);
        }
        let begins = |v: &&&Version| v.version.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('.'));
        all.iter().filter(begins).max_by(newest).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions_as_typed() {
        let expert: Expert = serde_json::from_value(serde_json::json!({"name": "expert-sql", "versions": [
            {"version": "0.9.1", "path": ""}, {"version": "0.10.0", "path": ""}, {"version": "0.3.0", "path": ""},
            {"version": "0.3.12", "path": ""}, {"version": "0.30.0-rc.1", "path": ""}
        ]}))
        .unwrap();
        for (typed, version) in [
            ("sql@0.3.0", Some("0.3.0")),
            ("expert-sql@v0.3", Some("0.3.12")),
            (" sql @ 0.10 ", Some("0.10.0")),
            ("sql@0", Some("0.30.0-rc.1")),
            ("sql@1", None),
            ("sql@0.3.1", None),
            ("sql", Some("0.30.0-rc.1")),
            ("sql@latest", Some("0.30.0-rc.1")),
        ] {
            let reference = Reference::parse(typed);
            assert_eq!(reference.name, "expert-sql");
            assert_eq!(reference.pick(&expert).map(|v| v.version.as_str()), version, "{typed}");
        }
    }
}
