//! `*`, `+`, `?` and `{m,n}`: llama.cpp's bounds, counted as it counts them, although nothing is unrolled here.

use super::{Item, ItemId, Open, Reader, Result, UNBOUNDED};
use crate::grammar::limits;

impl Reader<'_> {
    /// Applies the quantifier at the reader's place to the last item of `top`.
    pub(super) fn quantifier(&mut self, top: &mut Open, nested: bool) -> Result<()> {
        let start = self.at;
        let sign = self.peek();
        self.at += 1;
        self.space(nested);
        let (min, max) = match sign {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            _ => self.bounds(start, nested)?,
        };
        let Some(item) = top.current.last().copied() else {
            self.at = start;
            return Err(self.nothing_to_repeat());
        };
        if max.is_some_and(|max| max < min) {
            let what = format!("the repetition's maximum is below its minimum {min}");
            return Err(self.error(start, what, "write {least,most}"));
        }
        let total = max.filter(|max| *max > 0).unwrap_or(min.max(1));
        if top.weight.saturating_mul(total) >= limits::REPETITIONS {
            let what = format!("nested repetitions multiply to {} or more", limits::REPETITIONS);
            return Err(self.error(start, what, "lower the bounds, or write {m,} without an upper bound"));
        }
        top.weight *= total;
        // The rules that llama.cpp makes for the optional part count towards an enclosing group's weight.
        let made = max.map_or(1, |max| max - min);
        self.numbers += made;
        if made > 0 {
            self.syntax.defined = self.syntax.defined.max(self.numbers);
        }
        if max == Some(0) {
            // {0}: the item is gone, and a further quantifier has nothing to repeat.
            top.current.pop();
            if self.at_quantifier() {
                return Err(self.nothing_to_repeat());
            }
            return Ok(());
        }
        self.deepen(top, top.last_depth + 1)?;
        let repeat = Item::Repeat { item, min: min as u32, max: max.map_or(UNBOUNDED, |max| max as u32) };
        let id = self.syntax.items.len() as ItemId;
        self.syntax.items.push(repeat);
        if let Some(last) = top.current.last_mut() {
            *last = id;
        }
        Ok(())
    }

    /// `m}`, `m,}` or `m,n}` behind the brace.
    fn bounds(&mut self, start: usize, nested: bool) -> Result<(u64, Option<u64>)> {
        const HINT: &str = "repetitions are {m}, {m,} or {m,n}; write {0,n} for at most n";
        let min = self.digits();
        if min.is_empty() {
            return Err(self.error(self.at, format!("a number is expected, not {}", self.found()), HINT));
        }
        self.space(nested);
        let mut max = Some(min.clone());
        if self.peek() == Some(b',') {
            self.at += 1;
            self.space(nested);
            max = Some(self.digits()).filter(|digits| !digits.is_empty());
            if max.is_some() {
                self.space(nested);
            }
        }
        if self.peek() != Some(b'}') {
            return Err(self.error(self.at, format!("`}}` is expected, not {}", self.found()), HINT));
        }
        self.at += 1;
        self.space(nested);
        let number = |digits: &String| {
            digits.parse::<u64>().map_err(|_| self.error(start, format!("{digits} is no sensible number"), HINT))
        };
        let min = number(&min)?;
        if min > limits::REPETITIONS {
            let what = format!("a repetition of at least {min} is over the limit of {}", limits::REPETITIONS);
            return Err(self.error(start, what, "lower it; the limit is llama.cpp's"));
        }
        // A maximum over the limit means none at all.
        let max = max.as_ref().map(number).transpose()?.filter(|max| *max <= limits::REPETITIONS);
        Ok((min, max))
    }
}
