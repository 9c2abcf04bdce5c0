//! What a page holds.

use serde_json::json;

use super::*;
use crate::eval::{Answer, Item, Measures, Verdict, compare, summary};

fn outcome(id: usize, right: bool, difficulty: &str) -> Outcome {
    let item = Item {
        id: format!("q-{id}"),
        category: format!("category {}", id % 3),
        difficulty: difficulty.to_owned(),
        question: [("en".to_owned(), format!("How many <b> are in {id}?"))].into(),
        gold: vec!["SELECT count(*) FROM b".into()],
        ..Item::default()
    };
    let rows = json!({"columns": ["n"], "rows": [[id]], "n": 30});
    let verdict = Verdict {
        right,
        parses: true,
        resolves: true,
        reason: (!right).then(|| "30 rows instead of 1".to_owned()),
        rows: (!right).then(|| (Some(rows.clone()), rows)),
        measures: Measures { spider: Some(right), ..Measures::default() },
    };
    Outcome::new(&item, "en", Answer { sql: "SELECT 1".into(), seconds: Some(0.04), failed: None }, verdict)
}

#[test]
fn a_page_stands_alone_and_shows_everything() {
    let difficulties = ["advanced", "basic", "intermediate"];
    let own: Vec<Outcome> = (0..12).map(|id| outcome(id, id % 4 != 0, difficulties[id % 3])).collect();
    let base: Vec<Outcome> = (0..12).map(|id| outcome(id, id < 3, difficulties[id % 3])).collect();
    let (sums, base_sums) = (summary(&own), summary(&base));
    let page = render(&Report {
        suite: "smoke",
        name: "expert-x",
        remarks: vec!["on <tiny>".into()],
        summary: &sums,
        outcomes: &own,
        baseline: Some(Baseline { name: "tiny", outcomes: &base, summary: &base_sums, compared: compare(&own, &base) }),
        checkpoints: vec![
            ("checkpoint-10".into(), Some(10), Score { right: 4, n: 12 }),
            ("checkpoint-20".into(), Some(20), Score { right: 9, n: 12 }),
            ("final".into(), None, Score { right: 9, n: 12 }),
        ],
        best: Some(1),
        mended: &crate::eval::MENDED,
    });
    for words in [
        "75.0 %",
        "9 of 12 right",
        "+50.0 points over tiny",
        "40 ms",
        "Execution by step",
        "on &lt;tiny&gt;",
        "How many &lt;b&gt; are in 4?",
        "30 rows, 29 not shown",
        "3 × another number of rows",
        "the baseline has it",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let (basic, advanced) = (page.find(">basic<").unwrap(), page.find(">advanced<").unwrap());
    assert!(basic < advanced, "from easy to hard");
    assert_eq!(page.matches("class=\"failure\"").count(), 3);
    assert_eq!(page.matches("the baseline has it").count(), 1, "question 0");
    assert!(page.contains("<tr class=\"differs\"><td>checkpoint-20"));
    for outside in ["http", "src=", "@import", "url(", "<script", "NaN"] {
        assert!(!page.contains(outside), "{outside}");
    }
}
