//! Rules against each other: a root, nothing undefined, no left recursion.
//!
//! Two notions of left recursion count. llama.cpp's own, which takes a rule for possibly empty only if one of its
//! alternatives is literally empty and looks at its unrolled repetitions (so `("x"|)*` is refused and `("x"?)*` is not);
//! and the true one where a cycle without input makes the stack grow, on which llama.cpp would never return.

use super::error::GrammarError;
use super::syntax::{Item, ItemId, RuleId, Syntax, UNBOUNDED};

/// Checks a grammar and returns its root.
pub fn check(text: &str, syntax: &Syntax) -> Result<RuleId, GrammarError> {
    let error = |offset, message: String, hint: &str| Err(GrammarError::at(text, offset, message, hint));
    if syntax.rules.iter().all(|rule| rule.body.is_none()) {
        return error(0, "the grammar has no rules".into(), "write at least `root ::= \"text\"`");
    }
    let referenced = referenced(syntax);
    for (rule, referenced) in syntax.rules.iter().zip(referenced) {
        if rule.body.is_none() && (rule.number < syntax.defined || referenced) {
            let hint = match near(syntax, &rule.name) {
                Some(name) => format!("did you mean `{name}`? Names are case-sensitive"),
                None => format!("add a line `{} ::= …`", rule.name),
            };
            return error(rule.first_seen, format!("rule `{}` is used but never defined", rule.name), &hint);
        }
    }
    let root = syntax.rules.iter().position(|rule| rule.name == "root" && rule.body.is_some());
    let Some(root) = root else {
        let hint = "a grammar begins at `root ::= …`";
        return error(0, "the grammar has no rule `root`".into(), hint);
    };
    if let Some(cycle) = left_recursion(syntax) {
        let names: Vec<&str> = cycle.iter().map(|rule| owner_name(syntax, *rule)).collect();
        let mut path = names.clone();
        path.dedup();
        let offset = cycle.first().and_then(|rule| syntax.rules[*rule as usize].body.as_ref()).map_or(0, |b| b.offset);
        let what = if path.len() <= 1 {
            format!("left recursion: `{}` can begin with itself without reading anything", names[0])
        } else {
            format!("left recursion: `{}` can begin with itself without reading anything", path.join("` → `"))
        };
        let hint = "turn `a ::= a \"x\" | \"y\"` into `a ::= \"y\" \"x\"*`, and repeat nothing that may be empty";
        return error(offset, what, hint);
    }
    Ok(root as RuleId)
}

fn owner_name(syntax: &Syntax, rule: RuleId) -> &str {
    let owner = syntax.rules[rule as usize].body.as_ref().map_or(rule, |body| body.owner);
    &syntax.rules[owner as usize].name
}

/// Which rules some definition names; repetitions of a rule that was defined again count, as llama.cpp keeps them.
fn referenced(syntax: &Syntax) -> Vec<bool> {
    let mut named = vec![false; syntax.rules.len()];
    let repeated = syntax.items.iter().filter_map(|item| match item {
        Item::Repeat { item, .. } => Some(item),
        _ => None,
    });
    for id in bodies(syntax).flat_map(|(_, sequence)| sequence).chain(repeated) {
        if let Item::Rule(rule) = &syntax.items[*id as usize] {
            named[*rule as usize] = true;
        }
    }
    named
}

fn bodies(syntax: &Syntax) -> impl Iterator<Item = (RuleId, &Vec<ItemId>)> {
    syntax.rules.iter().enumerate().flat_map(|(id, rule)| {
        rule.body.iter().flat_map(|b| &b.alternatives).map(move |alternative| (id as RuleId, alternative))
    })
}

/// A defined name that differs by case, `-`, or one letter.
fn near<'a>(syntax: &'a Syntax, name: &str) -> Option<&'a str> {
    let plain = |name: &str| name.replace('-', "").to_lowercase();
    let wanted = plain(name);
    let close = |other: &str| {
        let other = plain(other);
        let (a, b): (Vec<char>, Vec<char>) = (wanted.chars().collect(), other.chars().collect());
        let head = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
        let tail = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
        let longest = a.len().max(b.len());
        a == b || (longest > 3 && a.len().abs_diff(b.len()) <= 1 && head + tail + 1 >= longest)
    };
    syntax
        .rules
        .iter()
        .filter(|rule| rule.body.is_some() && !rule.name.is_empty())
        .map(|r| r.name.as_str())
        .find(|n| close(n))
}

/// One vertex of the graph of "can begin with": a rule, or the rule that a repetition unrolls to.
#[derive(Debug, Default, Clone)]
struct Vertex {
    /// The rule it stands in.
    rule: RuleId,
    /// Sequences of vertices; anything that reads input ends one with `None`.
    sequences: Vec<Vec<Option<usize>>>,
}

/// The rules on a cycle that reads nothing, if there is one.
fn left_recursion(syntax: &Syntax) -> Option<Vec<RuleId>> {
    let vertices = vertices(syntax);
    let literally_empty: Vec<bool> = vertices.iter().map(|v| v.sequences.iter().any(Vec::is_empty)).collect();
    let truly_empty = nullable(&vertices);
    let mut llama = vec![Vec::new(); vertices.len()];
    let mut growing = vec![Vec::new(); vertices.len()];
    for (from, vertex) in vertices.iter().enumerate() {
        for sequence in &vertex.sequences {
            let mut passed = (true, true);
            for (at, element) in sequence.iter().enumerate() {
                let Some(to) = element else { break };
                if passed.0 {
                    llama[from].push((*to, true));
                }
                if passed.1 {
                    growing[from].push((*to, at + 1 < sequence.len()));
                }
                passed = (passed.0 && literally_empty[*to], passed.1 && truly_empty[*to]);
                if !passed.1 {
                    break;
                }
            }
        }
    }
    cycle(&llama)
        .or_else(|| cycle(&growing))
        .map(|vertices_on_it| vertices_on_it.iter().map(|v| vertices[*v].rule).collect())
}

/// The rules as llama.cpp unrolls them, except that a bounded repetition's chain is one vertex (its links can begin
/// with the same things).
fn vertices(syntax: &Syntax) -> Vec<Vertex> {
    let mut vertices: Vec<Vertex> =
        (0..syntax.rules.len()).map(|rule| Vertex { rule: rule as RuleId, sequences: Vec::new() }).collect();
    let mut unrolled: std::collections::HashMap<ItemId, Vec<Option<usize>>> = std::collections::HashMap::new();
    // A repetition's item always has a smaller number, so one pass in order suffices.
    for (id, item) in syntax.items.iter().enumerate() {
        let sequence = match item {
            Item::Rule(rule) | Item::Group(rule) => vec![Some(*rule as usize)],
            Item::Repeat { item, min, max } => {
                let once = unrolled.get(item).cloned().unwrap_or_default();
                // Two stand for many: they begin with the same things and are empty together.
                let mut sequence = Vec::new();
                for _ in 0..(*min).min(2) {
                    sequence.extend_from_slice(&once);
                }
                if *max == UNBOUNDED || max > min {
                    let own = vertices.len();
                    let mut body = once;
                    // A chain of two or more links has one behind its item; a single link has none.
                    if *max == UNBOUNDED {
                        body.push(Some(own));
                    } else if max - min > 1 {
                        body.push(None);
                    }
                    vertices.push(Vertex { rule: 0, sequences: vec![body, Vec::new()] });
                    sequence.push(Some(own));
                }
                sequence
            }
            _ => vec![None],
        };
        unrolled.insert(id as ItemId, sequence);
    }
    let empty = Vec::new();
    for (rule, sequence) in bodies(syntax) {
        let elements: Vec<Option<usize>> =
            sequence.iter().flat_map(|item| unrolled.get(item).unwrap_or(&empty).iter().copied()).collect();
        for element in elements.iter().flatten().filter(|v| **v >= syntax.rules.len()) {
            vertices[*element].rule = rule;
        }
        vertices[rule as usize].sequences.push(elements);
    }
    for own in (syntax.rules.len()..vertices.len()).rev() {
        let rule = vertices[own].rule;
        let inner: Vec<usize> = vertices[own].sequences.iter().flatten().flatten().copied().collect();
        for element in inner.into_iter().filter(|v| *v >= syntax.rules.len() && *v < own) {
            vertices[element].rule = rule;
        }
    }
    vertices
}

/// Which items can be the empty text.
pub fn empty_items(syntax: &Syntax) -> Vec<bool> {
    let rules = nullable(&vertices(syntax));
    let mut empty = Vec::with_capacity(syntax.items.len());
    for item in &syntax.items {
        let own = match item {
            Item::Rule(rule) | Item::Group(rule) => rules[*rule as usize],
            Item::Repeat { item, min, .. } => *min == 0 || empty[*item as usize],
            _ => false,
        };
        empty.push(own);
    }
    empty
}

/// Which vertices can be the empty text.
fn nullable(vertices: &[Vertex]) -> Vec<bool> {
    // How many elements of each sequence are not yet known to be possibly empty; who waits for whom.
    let mut waiting = vec![Vec::new(); vertices.len()];
    let mut missing = Vec::new();
    let mut empty = vec![false; vertices.len()];
    let mut news = Vec::new();
    for (own, vertex) in vertices.iter().enumerate() {
        for sequence in &vertex.sequences {
            if sequence.iter().any(Option::is_none) {
                continue;
            }
            for element in sequence.iter().flatten() {
                waiting[*element].push((own, missing.len()));
            }
            missing.push(sequence.len());
            if sequence.is_empty() && !empty[own] {
                empty[own] = true;
                news.push(own);
            }
        }
    }
    while let Some(vertex) = news.pop() {
        for (own, sequence) in &waiting[vertex] {
            missing[*sequence] -= 1;
            if missing[*sequence] == 0 && !empty[*own] {
                empty[*own] = true;
                news.push(*own);
            }
        }
    }
    empty
}

/// A cycle with at least one marked edge (Tarjan's components, without recursion): its vertices in order.
fn cycle(edges: &[Vec<(usize, bool)>]) -> Option<Vec<usize>> {
    let component = components(edges);
    for (from, targets) in edges.iter().enumerate() {
        for (to, marked) in targets {
            if *marked && component[from] == component[*to] {
                return Some(path(edges, *to, from, &component));
            }
        }
    }
    None
}

/// A shortest way inside one component.
fn path(edges: &[Vec<(usize, bool)>], from: usize, to: usize, component: &[usize]) -> Vec<usize> {
    let mut before = std::collections::HashMap::from([(from, from)]);
    let mut queue = std::collections::VecDeque::from([from]);
    while let Some(at) = queue.pop_front() {
        if at == to {
            break;
        }
        for (next, _) in &edges[at] {
            if component[*next] == component[from] && !before.contains_key(next) {
                before.insert(*next, at);
                queue.push_back(*next);
            }
        }
    }
    let mut way = vec![to];
    while let Some(previous) = way.last().and_then(|at| before.get(at)).copied() {
        if way.last() == Some(&previous) {
            break;
        }
        way.push(previous);
    }
    way.reverse();
    way
}

fn components(edges: &[Vec<(usize, bool)>]) -> Vec<usize> {
    const NEW: usize = usize::MAX;
    let (mut index, mut low) = (vec![NEW; edges.len()], vec![0; edges.len()]);
    let mut component = vec![NEW; edges.len()];
    let (mut counter, mut found) = (0, 0);
    let (mut open, mut calls) = (Vec::new(), Vec::new());
    for start in 0..edges.len() {
        if index[start] == NEW {
            calls.push((start, 0));
        }
        while let Some((at, edge)) = calls.last_mut() {
            let at = *at;
            if *edge == 0 {
                index[at] = counter;
                low[at] = counter;
                counter += 1;
                open.push(at);
            }
            match edges[at].get(*edge).map(|(to, _)| *to) {
                Some(to) => {
                    *edge += 1;
                    if index[to] == NEW {
                        calls.push((to, 0));
                    } else if component[to] == NEW {
                        low[at] = low[at].min(index[to]);
                    }
                }
                None => {
                    calls.pop();
                    if let Some((parent, _)) = calls.last() {
                        low[*parent] = low[*parent].min(low[at]);
                    }
                    if low[at] == index[at] {
                        while let Some(member) = open.pop() {
                            component[member] = found;
                            if member == at {
                                break;
                            }
                        }
                        found += 1;
                    }
                }
            }
        }
    }
    component
}
