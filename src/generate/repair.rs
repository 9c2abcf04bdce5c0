//! Giving a faulty answer back with what is wrong with it, in the layout that self-refinement rows are trained in.

use crate::data::tasks::refine;
use crate::error::Result;

/// An answer that was faulty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The statement.
    pub sql: String,
    /// What was wrong with it.
    pub fault: String,
}

/// What came of mending.
#[derive(Debug, Clone)]
pub struct Mended<A> {
    /// The last answer.
    pub answer: A,
    /// The faulty ones before it, and itself if it is still faulty.
    pub attempts: Vec<Attempt>,
    /// Whether nothing is wrong with it.
    pub sound: bool,
}

/// Asks again, at most `tries` times, until nothing is wrong. `fault` says what is wrong with an answer, `ask` puts a
/// question. A model that gives the same faulty statement again will do so for ever: then it ends early.
pub fn mend<A>(
    question: &str,
    first: A,
    tries: usize,
    sql: impl Fn(&A) -> String,
    mut fault: impl FnMut(&A) -> Option<String>,
    mut ask: impl FnMut(String) -> Result<A>,
) -> Result<Mended<A>> {
    let mut mended = Mended { answer: first, attempts: Vec::new(), sound: true };
    loop {
        let Some(wrong) = fault(&mended.answer) else {
            mended.sound = true;
            return Ok(mended);
        };
        let faulty = Attempt { sql: sql(&mended.answer), fault: wrong };
        let again = mended.attempts.iter().any(|earlier| earlier.sql == faulty.sql);
        mended.attempts.push(faulty);
        mended.sound = false;
        if again || mended.attempts.len() > tries {
            return Ok(mended);
        }
        if let Some(Attempt { sql, fault }) = mended.attempts.last() {
            mended.answer = ask(refine(question.trim(), sql, Some(fault)))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(answers: &[&str], tries: usize) -> (Mended<String>, Vec<String>) {
        let mut asked = Vec::new();
        let mut next = answers[1..].iter();
        let fault = |answer: &String| (!answer.starts_with("ok")).then(|| format!("no {answer}"));
        let mended = mend("How many?", answers[0].to_owned(), tries, Clone::clone, fault, |question| {
            asked.push(question);
            Ok((*next.next().unwrap()).to_owned())
        });
        (mended.unwrap(), asked)
    }

    #[test]
    fn a_fault_is_given_back_until_there_is_none() {
        let (mended, asked) = run(&["bad", "worse", "ok"], 2);
        assert!(mended.sound && mended.answer == "ok" && mended.attempts.len() == 2);
        assert_eq!(asked[0], "How many?\nThis statement failed:\nbad\nError: no bad\nCorrect it.");
        assert!(asked[1].contains("worse"));
        let (sound, asked) = run(&["ok"], 2);
        assert!(sound.sound && asked.is_empty() && sound.attempts.is_empty());
    }

    #[test]
    fn it_ends() {
        let (mended, asked) = run(&["a", "b", "c", "ok"], 2);
        assert!(!mended.sound && asked.len() == 2 && mended.answer == "c");
        let (mended, asked) = run(&["a", "a", "ok"], 9);
        assert!(!mended.sound && asked.len() == 1);
        assert_eq!(run(&["a", "ok"], 0).1.len(), 0);
    }
}
