//! Which of several experts a question is for, by the `routing` of their manifests; and which cannot work together.
//!
//! A keyword counts once, where it stands as whole words: `how to` is in "how to join" and not in "show totals", `sql` not
//! in "mysqldump". Several words count where they stand next to each other, whatever lies between them. The score is
//! the number of keywords, less two for every excluded one, times the priority. There is no list of phrases that go past
//! the experts: "what is the average salary" is a question to a database like any other.

use serde_json::Value;

use crate::error::{Problem, Result};
use crate::manifest::Manifest;

/// What an excluded keyword costs (upstream's chat takes two away).
const EXCLUDED: f64 = 2.0;

/// The priority where a manifest has none (upstream's default).
const PRIORITY: f64 = 0.5;

/// What speaks for and against an expert.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// `(keywords − 2 · excluded) · priority`.
    pub score: f64,
    /// Keywords that the question has.
    pub keywords: Vec<String>,
    /// Excluded keywords that it has.
    pub excluded: Vec<String>,
}

/// The choice among several experts.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Which one.
    pub index: usize,
    /// How each of them fits.
    pub fits: Vec<Fit>,
}

impl Route {
    /// Why, in words.
    pub fn reason(&self) -> String {
        let fit = &self.fits[self.index];
        if fit.score > 0.0 {
            return format!("{} (score {:.2})", fit.keywords.join(", "), fit.score);
        }
        let excluded: Vec<&str> = self.fits.iter().flat_map(|fit| &fit.excluded).map(String::as_str).collect();
        match excluded.is_empty() {
            true => "no keyword of any expert is in the question".into(),
            false => format!("nobody is for it; excluded: {}", excluded.join(", ")),
        }
    }
}

/// The expert for a question: the highest score, the earlier one where two are equal. Where no keyword speaks for
/// anybody, the first that excludes nothing; the order of the list is the person's own. None without experts.
pub fn route(question: &str, manifests: &[&Manifest]) -> Option<Route> {
    let words = words(question);
    let fits: Vec<Fit> = manifests.iter().map(|manifest| fit(&words, manifest)).collect();
    let mut best: Option<usize> = None;
    for (index, fit) in fits.iter().enumerate() {
        if best.is_none_or(|best| fit.score > fits[best].score) {
            best = Some(index);
        }
    }
    best.map(|index| Route { index, fits })
}

fn fit(question: &[String], manifest: &Manifest) -> Fit {
    let found = |key: &str| -> Vec<String> {
        let list = manifest.raw().pointer(&format!("/routing/{key}")).and_then(Value::as_array);
        let mut found: Vec<String> = Vec::new();
        for keyword in list.into_iter().flatten().filter_map(Value::as_str) {
            let wanted = words(keyword);
            let stands = !wanted.is_empty() && question.windows(wanted.len()).any(|window| window == wanted);
            let keyword = keyword.trim().to_lowercase();
            if stands && !found.contains(&keyword) {
                found.push(keyword);
            }
        }
        found
    };
    let priority = manifest.raw().pointer("/routing/priority").and_then(Value::as_f64).unwrap_or(PRIORITY);
    let (keywords, excluded) = (found("keywords"), found("exclude_keywords"));
    Fit { score: (keywords.len() as f64 - EXCLUDED * excluded.len() as f64) * priority, keywords, excluded }
}

/// The words of a text in lower case; what is neither letter, digit nor underscore stands between them.
fn words(text: &str) -> Vec<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.split(|c| !is_word(c)).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// Refuses experts that say they cannot work together, and those whose required ones are not among `installed`.
pub fn check_together(manifests: &[&Manifest], installed: &[String]) -> Result<()> {
    let names = |manifest: &Manifest, key: &str| -> Vec<String> {
        let list = manifest.raw().pointer(&format!("/constraints/{key}")).and_then(Value::as_array);
        let name = |text: &str| text.split('@').next().unwrap_or(text).trim().to_owned();
        list.into_iter().flatten().filter_map(Value::as_str).map(name).collect()
    };
    for manifest in manifests {
        for other in manifests.iter().filter(|other| other.name() != manifest.name()) {
            if names(manifest, "incompatible_with").iter().any(|name| name == other.name()) {
                return Err(Problem::usage(format!("{} and {} do not work together", manifest.name(), other.name()))
                    .detail(format!("the manifest of {} says so (constraints.incompatible_with)", manifest.name()))
                    .hint("name only one of them with --experts")
                    .into());
            }
        }
        if let Some(missing) = names(manifest, "requires").into_iter().find(|name| !installed.contains(name)) {
            return Err(Problem::input(format!("{} needs {missing}, which is not installed", manifest.name()))
                .hint(format!("expert-cli install {missing}.expert"))
                .into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn manifest(name: &str, routing: Value, constraints: Value) -> Manifest {
        Manifest::from_value(json!({
            "name": name, "version": "1.0.0", "schema_version": "2.0", "description": "x", "capabilities": [],
            "base_models": [{"name": "m", "adapters": [{"type": "lora", "target_modules": ["q_proj"], "r": 4, "alpha": 8}]}],
            "routing": routing, "constraints": constraints,
            "training": {"dataset": {"path": "x.jsonl"},
                "config": {"method": "sft", "adapter_type": "lora", "rank": 4, "alpha": 8, "target_modules": ["q_proj"],
                    "epochs": 1, "learning_rate": 1e-3, "batch_size": 1, "gradient_accumulation_steps": 1,
                    "warmup_steps": 0, "lr_scheduler": "cosine"}},
            "license": "MIT"
        }))
        .unwrap()
    }

    fn sql() -> Manifest {
        let keywords = ["sql", "database", "table", "select", "average", "total", "how many", "group by", "média"];
        manifest(
            "expert-sql",
            json!({"keywords": keywords, "exclude_keywords": ["cypher", "graph", "node"], "priority": 0.8}),
            json!({}),
        )
    }

    fn neo4j() -> Manifest {
        let keywords = ["neo4j", "cypher", "graph", "node", "relationship", "shortest path"];
        manifest("expert-neo4j", json!({"keywords": keywords, "exclude_keywords": ["sql"], "priority": 0.8}), json!({}))
    }

    fn routed(question: &str) -> &'static str {
        let (sql, neo4j) = (sql(), neo4j());
        ["sql", "neo4j"][route(question, &[&sql, &neo4j]).unwrap().index]
    }

    #[test]
    fn what_upstream_sends_astray_arrives() {
        for (question, expected) in [
            // A list of "generic" phrases, found as parts of words, sent these to the base model.
            ("What is the average salary by department?", "sql"),
            ("Show total sales per month", "sql"),
            ("Describe the table orders", "sql"),
            ("Why is the total of order 7 zero?", "sql"),
            // Several words never matched in `route`; exclusions did not count there.
            ("How   many users signed up?", "sql"),
            ("Count orders, GROUP BY city", "sql"),
            ("Find the shortest-path between two people", "neo4j"),
            ("Write a Cypher query: total by node", "neo4j"),
            ("How many nodes? Use the graph database", "neo4j"),
            // Parts of words matched in `chat`.
            ("Is the notebook portable or selected?", "sql"),
            ("Qual é a MÉDIA de preço?", "sql"),
            // A keyword with punctuation beside it did not match in `route`.
            ("Which relationship?", "neo4j"),
            ("(sql) top customers", "sql"),
        ] {
            assert_eq!(routed(question), expected, "{question}");
        }
    }

    #[test]
    fn the_reason_is_said() {
        let (sql, neo4j) = (sql(), neo4j());
        let reason = |question| route(question, &[&sql, &neo4j]).unwrap().reason();
        assert_eq!(reason("How many tables in the database, how many?"), "database, how many (score 1.60)");
        assert_eq!(reason("Is the notebook portable?"), "no keyword of any expert is in the question");
        assert_eq!(route("x", &[]), None);
        // The order of the list decides where nothing else does; priority where keywords are equal in number.
        let strong = manifest("expert-strong", json!({"keywords": ["sql"], "priority": 1.0}), json!({}));
        assert_eq!(route("sql", &[&sql, &strong]).unwrap().index, 1);
        assert_eq!(route("nothing", &[&neo4j, &sql]).unwrap().index, 0);
    }

    #[test]
    fn constraints_are_kept() {
        let sql = sql();
        let rival = manifest("expert-rival", json!({}), json!({"incompatible_with": ["expert-sql@>=1"]}));
        for order in [[&sql, &rival], [&rival, &sql]] {
            let error = check_together(&order, &[]).unwrap_err().to_string();
            assert!(error.contains("do not work together"), "{error}");
        }
        assert!(check_together(&[&rival], &[]).is_ok());
        let needy = manifest("expert-needy", json!({}), json!({"requires": ["expert-sql@1.0"]}));
        assert!(check_together(&[&needy], &[]).unwrap_err().to_string().contains("needs expert-sql"));
        assert!(check_together(&[&needy], &["expert-sql".into()]).is_ok());
    }
}
