//! Which rows stay when there are more than wanted: so many of a source, tasks and sources in given shares, a share of
//! SELECT statements. Rows are chosen by a seeded hash, so the choice depends neither on their order nor on threads.

use std::collections::BTreeMap;

use crate::data::tasks::Task;

/// What the rows of a run are balanced to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mix {
    /// Share of SELECT (and WITH) among the statements; rows are only ever left out.
    pub select_ratio: Option<f64>,
    /// Shares of the tasks. Tasks without rows are left out of account.
    pub tasks: BTreeMap<Task, f64>,
}

/// A row that waits for the choice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    /// Question and schema.
    pub asked: u128,
    /// Its source, by place.
    pub source: usize,
    /// What it teaches.
    pub task: Task,
    /// Whether its answer is a query.
    pub select: bool,
    /// What it is chosen by: the smallest stay.
    pub draw: u64,
}

/// How much of a source is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Portion {
    /// At most so many rows.
    pub rows: Option<u64>,
    /// Rows in proportion to this, compared with the other sources of the same task that have one.
    pub weight: Option<f64>,
}

/// Which rows stay. `alive` says which are there at all.
pub(super) fn choose(waiting: &[Waiting], alive: Vec<bool>, portions: &[Portion], mix: &Mix) -> Vec<bool> {
    let mut kept = alive;
    for (source, portion) in portions.iter().enumerate() {
        if let Some(rows) = portion.rows {
            keep_of(&mut kept, waiting, |row| row.source == source, usize::try_from(rows).unwrap_or(usize::MAX));
        }
    }
    for task in Task::ALL {
        let shares: BTreeMap<usize, f64> = portions
            .iter()
            .enumerate()
            .filter_map(|(source, portion)| Some((source, portion.weight.filter(|weight| *weight > 0.0)?)))
            .collect();
        let group = |row: &Waiting| (row.task == task && shares.contains_key(&row.source)).then_some(row.source);
        proportion(&mut kept, waiting, &shares, group);
    }
    if !mix.tasks.is_empty() {
        proportion(&mut kept, waiting, &mix.tasks, |row| Some(row.task));
    }
    if let Some(ratio) = mix.select_ratio {
        let others = waiting.iter().zip(&kept).filter(|(row, kept)| **kept && !row.select).count();
        if others > 0 && ratio < 1.0 {
            let selects = (others as f64 * ratio / (1.0 - ratio)).round() as usize;
            keep_of(&mut kept, waiting, |row| row.select, selects);
        }
    }
    kept
}

/// Keeps as many rows of each group as its share allows when the scarcest group gives all it has.
fn proportion<G: Ord + Copy>(
    kept: &mut [bool],
    waiting: &[Waiting],
    shares: &BTreeMap<G, f64>,
    group: impl Fn(&Waiting) -> Option<G>,
) {
    let mut counts: BTreeMap<G, usize> = BTreeMap::new();
    for (row, _) in waiting.iter().zip(kept.iter()).filter(|(_, kept)| **kept) {
        if let Some(group) = group(row) {
            *counts.entry(group).or_default() += 1;
        }
    }
    let share = |group: &G| shares.get(group).copied().unwrap_or_default();
    let whole = counts
        .iter()
        .filter(|(group, _)| share(group) > 0.0)
        .map(|(group, count)| *count as f64 / share(group))
        .fold(f64::INFINITY, f64::min);
    if !whole.is_finite() {
        return;
    }
    for wanted in counts.keys() {
        let count = (whole * share(wanted)).round() as usize;
        keep_of(kept, waiting, |row| group(row) == Some(*wanted), count);
    }
}

/// Keeps `count` of the rows for which `of` holds.
fn keep_of(kept: &mut [bool], waiting: &[Waiting], of: impl Fn(&Waiting) -> bool, count: usize) {
    let mut places: Vec<usize> = (0..waiting.len()).filter(|&at| kept[at] && of(&waiting[at])).collect();
    places.sort_by_key(|&at| (waiting[at].draw, at));
    for &at in places.iter().skip(count) {
        kept[at] = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::draws::Draws;

    fn rows(counts: &[(usize, Task, bool, usize)]) -> Vec<Waiting> {
        let mut draws = Draws::of(3, &[]);
        let mut rows = Vec::new();
        for &(source, task, select, count) in counts {
            rows.extend((0..count).map(|_| Waiting { asked: 0, source, task, select, draw: draws.draw() }));
        }
        rows
    }

    fn count(rows: &[Waiting], kept: &[bool], of: impl Fn(&Waiting) -> bool) -> usize {
        rows.iter().zip(kept).filter(|(row, kept)| **kept && of(row)).count()
    }

    #[test]
    fn sources_tasks_and_statements_come_in_the_shares_asked_for() {
        use Task::{Question, Select, SelfRefine};
        let waiting = rows(&[
            (0, Question, true, 900),
            (0, Question, false, 100),
            (1, Question, true, 500),
            (2, SelfRefine, true, 100),
            (3, Select, true, 400),
        ]);
        let portions = [
            Portion { rows: Some(400), weight: None },
            Portion::default(),
            Portion::default(),
            Portion { rows: Some(200), weight: None },
        ];
        let tasks = Task::ALL.into_iter().map(|task| (task, task.default_share())).collect();
        let kept = choose(&waiting, vec![true; waiting.len()], &portions, &Mix { select_ratio: None, tasks });
        assert_eq!(count(&waiting, &kept, |row| row.task == Question), 350);
        assert_eq!(count(&waiting, &kept, |row| row.task == SelfRefine), 100);
        assert_eq!(count(&waiting, &kept, |row| row.task == Select), 50);
        assert!(count(&waiting, &kept, |row| row.source == 0) <= 400);

        let mix = Mix { select_ratio: Some(0.75), ..Mix::default() };
        let kept = choose(&waiting, vec![true; waiting.len()], &[], &mix);
        assert_eq!(count(&waiting, &kept, |row| row.select), 300);
        assert_eq!(count(&waiting, &kept, |row| !row.select), 100);

        let weights = [2.0, 1.0].map(|weight| Portion { rows: None, weight: Some(weight) });
        let kept = choose(&waiting, vec![true; waiting.len()], &weights, &Mix::default());
        assert_eq!(count(&waiting, &kept, |row| row.source == 0), 1000);
        assert_eq!(count(&waiting, &kept, |row| row.source == 1), 500);
        assert_eq!(count(&waiting, &kept, |row| row.source > 1), 500);
    }
}
