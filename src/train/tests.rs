//! The loop on a toy model: interrupted, resumed, broken, starved.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::checkpoint::{self, Identity, Progress};
use super::folder::{Resume, RunFolder};
use super::group::Alone;
use super::metrics::{FILE, Record};
use super::observer::{Observer, Silent};
use super::optim::Optimizer;
use super::run::{Outcome, Run};
use super::schedule::Shape;
use super::settings::{Settings, Strategy};
use super::student::Student;
use super::toy::{Fault, Toy, VOCAB, rows};
use crate::data::batches::Batches;
use crate::error::{Result, classify};
use crate::fsx;

fn settings() -> Settings {
    Settings {
        learning_rate: 0.05,
        batch_size: 4,
        gradient_accumulation_steps: 2,
        max_steps: Some(40),
        logging_steps: 4,
        save_strategy: Strategy::Steps,
        save_steps: 10,
        evaluation_strategy: Some(Strategy::Steps),
        eval_steps: Some(10),
        lr_scheduler: Shape::Cosine,
        warmup_steps: 3,
        ..Settings::default()
    }
}

/// Starts (or resumes) a run in `dir` on 60 rows; returns its outcome and the student as it ended.
fn go(
    dir: &Path,
    settings: &Settings,
    toy: Toy,
    resume: Option<Resume>,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> (Result<Outcome>, Toy) {
    let mut toy = toy;
    let (examples, validation) = (rows(60, 0), rows(20, 5));
    let folder = RunFolder::open(dir).unwrap();
    let batches = Batches::new(&examples.lengths(), settings.batching());
    let total_steps = settings.total_steps(batches.steps_per_epoch());
    let mut optimizer = Optimizer::new(settings.hyper(), toy.params());
    let mut progress =
        Progress { total_steps, identity: Identity::default(), seed: settings.seed, ..Progress::default() };
    if let Some(resume) = resume {
        let mut notes = Vec::new();
        let (path, found) = folder.find(&resume, &mut |text| notes.push(text.to_owned())).unwrap();
        notes.iter().for_each(|text| observer.note(text));
        toy.load(&path).unwrap();
        super::moments::read(&path.join(checkpoint::OPTIMIZER), toy.params(), &mut optimizer, found.step).unwrap();
        progress = found;
    }
    let outcome = Run {
        student: &mut toy,
        optimizer,
        examples: &examples,
        batches: &batches,
        validation: Some(&validation),
        settings,
        schedule: settings.schedule(total_steps),
        folder: &folder,
        training_args: &serde_json::json!({}),
        progress,
        observer,
        group: &Alone,
        stop,
        saved: None,
    }
    .train();
    (outcome, toy)
}

fn finish(dir: &Path, settings: &Settings, resume: Option<Resume>) -> Outcome {
    go(dir, settings, Toy::new(), resume, &mut Silent, &AtomicBool::new(false)).0.unwrap()
}

fn records(dir: &Path) -> Vec<Record> {
    let text = fsx::read_text(&dir.join(FILE)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Metrics without what the clock and the machine decide.
fn reproducible(dir: &Path) -> Vec<Record> {
    records(dir).into_iter().map(|r| Record { tokens_per_s: None, rss_mib: None, ..r }).collect()
}

fn names(dir: &Path) -> Vec<u64> {
    RunFolder::open(dir).unwrap().checkpoints().unwrap().into_iter().map(|(step, _)| step).collect()
}

fn state(dir: &Path, step: u64) -> (Vec<u8>, Vec<u8>) {
    let folder = checkpoint::folder(dir, step);
    (
        fsx::read(&folder.join("adapter_model.safetensors")).unwrap(),
        fsx::read(&folder.join(checkpoint::OPTIMIZER)).unwrap(),
    )
}

/// Asks to stop when this many steps are done, or when this evaluation has begun.
struct StopAt<'a> {
    step: Option<u64>,
    in_evaluation_of: Option<u64>,
    seen: u64,
    flag: &'a AtomicBool,
    notes: Vec<String>,
}

impl<'a> StopAt<'a> {
    fn new(flag: &'a AtomicBool) -> Self {
        Self { step: None, in_evaluation_of: None, seen: 0, flag, notes: Vec::new() }
    }
}

impl Observer for StopAt<'_> {
    fn step(&mut self, record: &Record, _total: u64) {
        self.seen = record.step;
        if self.step == Some(record.step) {
            self.flag.store(true, Ordering::SeqCst);
        }
    }
    fn evaluating(&mut self, _done: usize, _of: usize) {
        if self.in_evaluation_of == Some(self.seen) {
            self.flag.store(true, Ordering::SeqCst);
        }
    }
    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }
}

#[test]
fn it_learns_and_keeps_the_best() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = finish(dir.path(), &settings(), None);
    let lines = records(dir.path());
    let evaluations: Vec<f64> = lines.iter().filter_map(|r| r.eval_loss).collect();
    assert_eq!(evaluations.len(), 4);
    assert!(evaluations[3] < 0.7 * (VOCAB as f64).ln(), "{evaluations:?}");
    assert_eq!(lines.iter().map(|r| r.step).collect::<Vec<_>>(), [1, 4, 8, 10, 12, 16, 20, 24, 28, 30, 32, 36, 40]);
    assert_eq!(lines[0].learning_rate, Some(0.0), "warm-up starts at 0");
    assert_eq!(outcome, Outcome::Finished { path: dir.path().join("final"), step: 40, early: false });
    let last = fsx::read(&dir.path().join("final/adapter_model.safetensors")).unwrap();
    assert_eq!(last, state(dir.path(), 40).0);
    assert!(dir.path().join("final/training_args.json").exists());
    assert_eq!(fsx::list_dir(&dir.path().join("adapter")).unwrap().len(), 2);
    assert_eq!(names(dir.path()), [20, 30, 40], "three checkpoints stay");
}

#[test]
fn accumulation_equals_the_large_batch() {
    let trained = |batch_size, gradient_accumulation_steps, packing| {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { batch_size, gradient_accumulation_steps, packing, max_seq_length: 12, ..settings() };
        go(dir.path(), &settings, Toy::new(), None, &mut Silent, &AtomicBool::new(false)).1
    };
    let (small, large) = (trained(2, 4, false), trained(8, 1, false));
    let largest = |a: &Toy, b: &Toy| {
        let pairs = a.params.iter().zip(&b.params).flat_map(|(a, b)| a.value.iter().zip(&b.value));
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    assert!(largest(&small, &large) < 2e-5, "{}", largest(&small, &large));
    assert!(largest(&small, &Toy::new()) > 0.5, "they did learn");
    let (small, large) = (trained(2, 4, true), trained(8, 1, true));
    assert!(largest(&small, &large) < 2e-5, "packed: {}", largest(&small, &large));
}

#[test]
fn interrupted_and_resumed_ends_with_the_same_bytes() {
    let whole = tempfile::tempdir().unwrap();
    let outcome = finish(whole.path(), &settings(), None);
    let expected = (state(whole.path(), 40), reproducible(whole.path()));
    for (step, in_evaluation_of) in [
        (Some(1), None),
        (Some(9), None),
        (Some(10), None),
        (Some(23), None),
        (Some(39), None),
        (Some(40), None),
        (None, Some(20)),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let flag = AtomicBool::new(false);
        let mut stop = StopAt { step, in_evaluation_of, ..StopAt::new(&flag) };
        let (cut, _) = go(dir.path(), &settings(), Toy::new(), None, &mut stop, &flag);
        let Outcome::Interrupted { checkpoint } = cut.unwrap() else { panic!("not interrupted") };
        assert_eq!(checkpoint::step_of(&checkpoint), step.or(in_evaluation_of));
        let resumed = finish(dir.path(), &settings(), Some(Resume::Latest));
        assert!(
            matches!((&resumed, &outcome), (Outcome::Finished { step: a, .. }, Outcome::Finished { step: b, .. }) if a == b)
        );
        assert_eq!(
            (state(dir.path(), 40), reproducible(dir.path())),
            expected,
            "stopped at {step:?} {in_evaluation_of:?}"
        );
    }
}

#[test]
fn an_older_checkpoint_cuts_the_metrics_back() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { save_total_limit: None, ..settings() };
    finish(dir.path(), &settings, None);
    let (expected, lines) = (state(dir.path(), 40), reproducible(dir.path()));
    finish(dir.path(), &settings, Some(Resume::At("checkpoint-20".into())));
    assert_eq!((state(dir.path(), 40), reproducible(dir.path())), (expected, lines));
}

#[test]
fn broken_checkpoints_are_passed_over_and_named() {
    let whole = tempfile::tempdir().unwrap();
    finish(whole.path(), &settings(), None);
    let expected = state(whole.path(), 40);
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 4] = [
        ("damaged", |dir| {
            let path = dir.join(checkpoint::OPTIMIZER);
            let mut bytes = fsx::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fsx::write_atomic(&path, &bytes).unwrap();
        }),
        ("adapter_model", |dir| fsx::remove(&dir.join("adapter_model.safetensors")).unwrap()),
        ("progress.json", |dir| fsx::remove(&dir.join(checkpoint::PROGRESS)).unwrap()),
        ("progress.json", |dir| fsx::write_atomic(&dir.join(checkpoint::PROGRESS), b"{\"format\": 1, ").unwrap()),
    ];
    for (word, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        let flag = AtomicBool::new(false);
        let mut stop = StopAt { step: Some(25), ..StopAt::new(&flag) };
        go(dir.path(), &settings(), Toy::new(), None, &mut stop, &flag).0.unwrap();
        damage(&checkpoint::folder(dir.path(), 25));
        let unset = AtomicBool::new(false);
        let mut watch = StopAt::new(&unset);
        go(dir.path(), &settings(), Toy::new(), Some(Resume::Latest), &mut watch, &unset).0.unwrap();
        assert!(
            watch.notes.iter().any(|note| note.contains("checkpoint-25") && note.contains(word)),
            "{:?}",
            watch.notes
        );
        assert_eq!(state(dir.path(), 40), expected, "{word}");
    }
}

#[test]
fn what_is_not_a_number_stops_the_run_and_names_step_and_rows() {
    for (fault, words) in [
        (Fault::NanLoss, "the loss is not a number"),
        (Fault::NanGradient, "the gradient is not a number"),
        (Fault::NoTargets, "there is no target"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let toy = Toy { fault: Some((24, fault)), ..Toy::new() };
        let (result, ended) = go(dir.path(), &settings(), toy, None, &mut Silent, &AtomicBool::new(false));
        let error = result.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("step 25") && text.contains(words) && text.contains("rows memory:"), "{text}");
        assert!(text.contains("the last good checkpoint is") && text.contains("checkpoint-20"), "{text}");
        assert_eq!(classify(&error).0.code(), 1);
        assert!(ended.params.iter().all(|param| param.value.iter().all(|x| x.is_finite())));
        assert_eq!(names(dir.path()), [10, 20]);
        finish(dir.path(), &settings(), Some(Resume::Latest));
    }
}

#[test]
fn a_panic_costs_no_finished_step() {
    let whole = tempfile::tempdir().unwrap();
    finish(whole.path(), &settings(), None);
    for (fault, saved) in [(Fault::Panic, 24), (Fault::PanicAfterUpdate, 25)] {
        let dir = tempfile::tempdir().unwrap();
        let toy = Toy { fault: Some((24, fault)), ..Toy::new() };
        let error = go(dir.path(), &settings(), toy, None, &mut Silent, &AtomicBool::new(false)).0.unwrap_err();
        assert!(error.to_string().contains(&format!("checkpoint-{saved}")), "{error}");
        finish(dir.path(), &settings(), Some(Resume::Latest));
        assert_eq!(state(dir.path(), 40), state(whole.path(), 40));
    }
}

/// A learning rate this high makes the validation loss rise after the first evaluations.
fn overshooting() -> Settings {
    Settings {
        learning_rate: 3.0,
        lr_scheduler: Shape::Constant,
        warmup_steps: 0,
        eval_steps: Some(2),
        save_steps: 5,
        save_total_limit: Some(2),
        ..settings()
    }
}

#[test]
fn the_best_checkpoint_is_protected_and_becomes_final() {
    let dir = tempfile::tempdir().unwrap();
    let Outcome::Finished { step, .. } = finish(dir.path(), &overshooting(), None) else { panic!() };
    let lines = records(dir.path());
    let best =
        lines.iter().filter(|r| r.eval_loss.is_some()).min_by(|a, b| a.eval_loss.partial_cmp(&b.eval_loss).unwrap());
    assert_eq!(step, best.unwrap().step);
    assert!(step < 40, "the test needs a run that gets worse");
    assert_eq!(names(dir.path()), [step, 40]);
    assert_eq!(fsx::read_text(&dir.path().join("BEST")).unwrap(), format!("checkpoint-{step}\n"));
    assert_eq!(fsx::read_text(&dir.path().join("LATEST")).unwrap(), "checkpoint-40\n");
    let published = fsx::read(&dir.path().join("final/adapter_model.safetensors")).unwrap();
    assert_eq!(published, state(dir.path(), step).0);
    assert_ne!(published, state(dir.path(), 40).0);
}

#[test]
fn the_last_state_becomes_final_if_the_best_is_not_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { load_best_model_at_end: Some(false), save_strategy: Strategy::No, ..overshooting() };
    let Outcome::Finished { step, .. } = finish(dir.path(), &settings, None) else { panic!() };
    assert_eq!(step, 40);
    assert_eq!(names(dir.path()), [40]);
}

#[test]
fn nothing_better_for_long_enough_ends_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { early_stopping_patience: Some(2), ..overshooting() };
    let Outcome::Finished { step, early, .. } = finish(dir.path(), &settings, None) else { panic!() };
    assert!(early);
    let last = records(dir.path()).last().unwrap().step;
    assert!(last >= step + 4 && last < 40, "two evaluations after the best at {step}, ended at {last}");
    let Outcome::Finished { step: again, early, .. } = finish(dir.path(), &settings, Some(Resume::Latest)) else {
        panic!()
    };
    assert_eq!((again, early), (step, true), "resuming a finished run changes nothing");
}

#[test]
fn a_folder_that_holds_a_run_is_not_overwritten_unasked() {
    let dir = tempfile::tempdir().unwrap();
    RunFolder::open(dir.path()).unwrap().must_be_empty().unwrap();
    finish(dir.path(), &settings(), None);
    let folder = RunFolder::open(dir.path()).unwrap();
    let error = folder.must_be_empty().unwrap_err();
    assert!(classify(&error).1.unwrap().contains("--resume"));
    folder.clear().unwrap();
    folder.must_be_empty().unwrap();
}

#[test]
fn a_second_writer_is_told_who_holds_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let _held = RunFolder::open(dir.path()).unwrap();
    let error = RunFolder::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("in use") && error.contains(&format!("process {}", std::process::id())), "{error}");
}

#[test]
fn what_is_not_finite_is_not_saved() {
    let dir = tempfile::tempdir().unwrap();
    let mut toy = Toy::new();
    toy.params[1].value[3] = f32::INFINITY;
    let optimizer = Optimizer::new(settings().hyper(), toy.params());
    let error =
        checkpoint::write(dir.path(), &toy, &optimizer, Progress::default(), &serde_json::json!({})).unwrap_err();
    assert!(error.to_string().contains("table is not finite"), "{error}");
    assert!(fsx::list_dir(dir.path()).unwrap().is_empty());
}
