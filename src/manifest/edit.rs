//! Setting one value by its JSON path, for `--set training.config.KEY=VALUE`.

use serde_json::{Map, Value};

use super::distance::did_you_mean;
use super::schema::{Kind, ROOT};
use crate::error::{Problem, Result};

/// One step of a path.
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// Sets `path` in `root`; missing objects on the way are created, list items must exist, keys must be known.
pub(super) fn set(root: &mut Value, path: &str, value: Value) -> Result<()> {
    let bad = |why: String| Problem::usage(format!("cannot set `{path}`: {why}"));
    let mut place = root;
    let mut kind = Some(&ROOT);
    for step in steps(path).ok_or_else(|| bad("that is no path such as `training.config.rank`".into()))? {
        kind = match step {
            Step::Key(key) => {
                let mut key = key;
                let next = match kind {
                    Some(Kind::Object(fields)) => match fields.iter().find(|field| field.is(key)) {
                        Some(field) => {
                            // Under an alias the value goes where the other name already stands.
                            let mut names = [Some(field.key), field.alias].into_iter().flatten();
                            key = names.find(|name| place.get(*name).is_some()).unwrap_or(key);
                            Some(&field.kind)
                        }
                        None if key.starts_with("_comment") => None,
                        None => {
                            let near = did_you_mean(key, fields.iter().map(|f| f.key));
                            let problem = bad(format!("nobody knows the key `{key}`"));
                            let problem = match near {
                                Some(near) => problem.hint(format!("did you mean `{near}`?")),
                                None => problem,
                            };
                            return Err(problem.into());
                        }
                    },
                    Some(Kind::Map(inner)) => Some(*inner),
                    _ => None,
                };
                if place.is_null() {
                    *place = Value::Object(Map::new());
                }
                let object = place.as_object_mut().ok_or_else(|| bad(format!("`{key}` would go into no object")))?;
                place = object.entry(key).or_insert(Value::Null);
                next
            }
            Step::Index(index) => {
                let list =
                    place.as_array_mut().ok_or_else(|| bad(format!("[{index}] of something that is no list")))?;
                let length = list.len();
                place = list.get_mut(index).ok_or_else(|| bad(format!("the list has {length} items")))?;
                match kind {
                    Some(Kind::List(inner)) => Some(*inner),
                    _ => None,
                }
            }
        };
    }
    *place = value;
    Ok(())
}

fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (key, indices) = part.split_at(part.find('[').unwrap_or(part.len()));
        if key.is_empty() {
            return None;
        }
        steps.push(Step::Key(key));
        for index in indices.split_terminator(']') {
            steps.push(Step::Index(index.strip_prefix('[')?.parse().ok()?));
        }
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sets_nested_values_and_makes_the_way() {
        let mut root = json!({"base_models": [{"name": "a"}]});
        set(&mut root, "training.config.rank", json!(8)).unwrap();
        set(&mut root, "base_models[0].prompt_template", json!("qwen3")).unwrap();
        set(&mut root, "training.dataset.field_mapping.question", json!("q")).unwrap();
        assert_eq!(
            root,
            json!({"base_models": [{"name": "a", "prompt_template": "qwen3"}],
                "training": {"config": {"rank": 8}, "dataset": {"field_mapping": {"question": "q"}}}})
        );
    }

    #[test]
    fn refuses_what_leads_nowhere() {
        let mut root = json!({"name": "a", "base_models": []});
        for (path, why) in [
            ("training.config.rnak", "nobody knows the key `rnak`"),
            ("", "no path"),
            ("training..config", "no path"),
            ("name.x", "no object"),
            ("base_models[0]", "0 items"),
            ("name[0]", "no list"),
            ("base_models[x]", "no path"),
        ] {
            let error = set(&mut root, path, json!(1)).unwrap_err().to_string();
            assert!(error.contains(why), "{path}: {error}");
        }
    }
}
