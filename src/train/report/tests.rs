//! What a page holds, and which folders are runs.

use serde_json::json;

use super::*;

fn record(step: u64, loss: f64) -> Record {
    let eval_loss = step.is_multiple_of(10).then_some(loss + 0.1);
    Record {
        step,
        loss: Some(loss),
        eval_loss,
        eval_token_accuracy: eval_loss.map(|_| 0.5),
        learning_rate: Some(1e-4),
        grad_norm: Some(0.7),
        tokens_per_s: Some(100.0 + step as f64),
        rss_mib: Some(300.0),
        target_tokens: step * 50,
        ..Record::default()
    }
}

/// A run's folder of 30 steps.
fn run(folder: &Path, rate: f64, name: &str) {
    let lines: String =
        (1..=30).map(|step| serde_json::to_string(&record(step, 3.0 - step as f64 * 0.05)).unwrap() + "\n").collect();
    fsx::write_atomic(&folder.join(metrics::FILE), (lines + "{\"step\": 31, \"lo").as_bytes()).unwrap();
    let args = json!({
        "expert": name, "version": "0.1.0", "base_model": "tiny", "rows": 40, "total_steps": 30,
        "settings": {"learning_rate": rate, "rank": 8, "target_modules": ["q_proj", "v_proj"]},
        "origins": {"learning_rate": "flag"},
    });
    fsx::write_atomic(&folder.join(TRAINING_ARGS), args.to_string().as_bytes()).unwrap();
}

#[test]
fn a_page_stands_alone_and_shows_every_curve() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("weights/tiny");
    run(&folder, 1e-4, "<script>alert(1)</script>");
    write(&folder).unwrap();
    let page = fsx::read_text(&folder.join(FILE)).unwrap();
    for words in
        ["Loss", "Validation loss", "Learning rate", "Gradient norm", "Speed", "Memory", "q_proj, v_proj", "flag"]
    {
        assert!(page.contains(words), "{words}");
    }
    assert_eq!(page.matches("class=\"line r0\"").count(), 7, "one line a chart");
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
    for outside in ["http", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}: nothing is fetched");
    }
    assert!(!page.contains(&*dir.path().to_string_lossy()), "no folder of this machine");
    assert!(page.contains("prefers-color-scheme:dark") && page.contains("width=device-width"));
}

#[test]
fn several_runs_are_laid_over_each_other_and_differences_come_first() {
    let dir = tempfile::tempdir().unwrap();
    let folders = ["a", "b"].map(|name| dir.path().join(name));
    run(&folders[0], 1e-4, "x");
    run(&folders[1], 3e-4, "x");
    let runs = folders.each_ref().map(|folder| RunRecord::read(folder).unwrap());
    let page = render(&runs);
    assert_eq!(page.matches("class=\"line r1\"").count(), 7);
    let (differs, rank) =
        (page.find("<tr class=\"differs\"><td>learning_rate").unwrap(), page.find("<td>rank").unwrap());
    assert!(differs < rank);
    let found = runs[0].summary();
    assert_eq!(
        (found.steps, found.best_step, found.tokens_per_s),
        (30, Some(30), Some(116.0)),
        "a torn line is passed over"
    );
    assert!((found.best_eval_loss.unwrap() - 1.6).abs() < 1e-9);
}

#[test]
fn a_run_is_found_from_above_and_a_choice_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let read = |path: &Path| RunRecord::read(path).map(|run| run.path);
    assert!(read(dir.path()).unwrap_err().to_string().contains("there is no run in"));
    let one = dir.path().join("weights/one");
    run(&one, 1e-4, "x");
    for path in [dir.path().to_owned(), dir.path().join("weights"), one.clone(), one.join(metrics::FILE)] {
        assert_eq!(read(&path).unwrap(), one, "{}", path.display());
    }
    run(&dir.path().join("weights/two"), 1e-4, "x");
    assert!(read(dir.path()).unwrap_err().to_string().contains("several runs"));
    fsx::write_atomic(&one.join(metrics::FILE), b"").unwrap();
    assert!(read(&one).unwrap_err().to_string().contains("no line of metrics yet"));
}
