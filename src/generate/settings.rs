//! What decides how an answer is drawn, and where each value came from: flags over manifest over defaults.

use std::fmt::Display;

use serde_json::{Map, Value, json};

use super::sampler::Chain;
use super::validation::Mode;
use crate::error::{Problem, Result};
use crate::manifest::Decoding;

/// Token budget of an answer where nobody says otherwise. The longest gold query of Spider has about 250 tokens;
/// a larger budget costs time only where the model does not end its answer.
const MAX_TOKENS: usize = 512;

/// Beams of the second look at a greedy answer that the grammar led astray, and the most that are taken. Price: such an
/// answer takes about four times as long.
const SECOND_LOOK: usize = 4;
const MOST_BEAMS: usize = 64;

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// The expert's manifest.
    Manifest,
    /// Nobody said anything.
    Default,
}

impl Origin {
    /// The word in JSON and on the screen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Manifest => "manifest",
            Self::Default => "default",
        }
    }
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Who set it.
    pub origin: Origin,
}

impl<T> Setting<T> {
    fn resolve(flag: Option<T>, manifest: Option<T>, default: T) -> Self {
        match (flag, manifest) {
            (Some(value), _) => Self { value, origin: Origin::Flag },
            (None, Some(value)) => Self { value, origin: Origin::Manifest },
            (None, None) => Self { value: default, origin: Origin::Default },
        }
    }
}

/// What the command line says; `None` where it says nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// 0 is greedy.
    pub temperature: Option<f64>,
    /// Nucleus.
    pub top_p: Option<f64>,
    /// Number of candidates; 0 is off.
    pub top_k: Option<usize>,
    /// Least share of the best candidate's probability.
    pub min_p: Option<f64>,
    /// Divides the logits of tokens seen before.
    pub repetition_penalty: Option<f64>,
    /// Subtracted once for tokens of the answer.
    pub presence_penalty: Option<f64>,
    /// Subtracted per occurrence in the answer.
    pub frequency_penalty: Option<f64>,
    /// Seed of sampling.
    pub seed: Option<u64>,
    /// Most tokens of an answer.
    pub max_tokens: Option<usize>,
    /// Texts that end the answer.
    pub stop: Option<Vec<String>>,
    /// How strictly an answer is checked.
    pub validation: Option<Mode>,
    /// Whether a base model may think first.
    pub thinking: Option<bool>,
    /// Whether the grammar masks before the chain.
    pub mask_first: Option<bool>,
    /// Whether the allowed mass is told at every step.
    pub confidence: Option<bool>,
    /// Whether names are kept to the schema while they are written.
    pub schema_guard: Option<bool>,
    /// Beams of the second look; 0 is off.
    pub second_look: Option<usize>,
    /// Whether values of the question and of a column's type are liked better.
    pub leaning: Option<bool>,
}

/// Everything resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// 0 is greedy.
    pub temperature: Setting<f64>,
    /// Nucleus; 1 is off.
    pub top_p: Setting<f64>,
    /// Number of candidates; 0 is off.
    pub top_k: Setting<usize>,
    /// Least share of the best candidate's probability; 0 is off.
    pub min_p: Setting<f64>,
    /// 1 is off.
    pub repetition_penalty: Setting<f64>,
    /// 0 is off.
    pub presence_penalty: Setting<f64>,
    /// 0 is off.
    pub frequency_penalty: Setting<f64>,
    /// Seed of sampling.
    pub seed: Setting<u64>,
    /// Most tokens of an answer.
    pub max_tokens: Setting<usize>,
    /// Texts that end the answer.
    pub stop: Setting<Vec<String>>,
    /// How strictly an answer is checked.
    pub validation: Setting<Mode>,
    /// Whether a base model may think first.
    pub thinking: Setting<bool>,
    /// The grammar of answers, by its name or file; `none`. Whoever loads the expert sets it.
    pub grammar: Setting<String>,
    /// Whether names are kept to the schema while they are written.
    pub schema_guard: Setting<bool>,
    /// Whether the grammar masks before the chain.
    pub mask_first: Setting<bool>,
    /// Whether the allowed mass is told at every step.
    pub confidence: Setting<bool>,
    /// Width of the beam search for a greedy answer that the grammar led astray; 0 is off.
    pub second_look: Setting<usize>,
    /// Whether values of the question and of a column's type are liked better.
    pub leaning: Setting<bool>,
}

impl Settings {
    /// Flags over the manifest's `training.decoding` over defaults. A value out of its range is refused with the name
    /// of who set it.
    pub fn resolve(flags: &Overrides, manifest: &Decoding) -> Result<Self> {
        // `tsc`, `explain` and the like are not for SQL.
        let mode = manifest.validation.as_deref().map(|name| Mode::from_name(name).unwrap_or(Mode::None));
        let settings = Self {
            temperature: Setting::resolve(flags.temperature, manifest.temperature, 0.0),
            top_p: Setting::resolve(flags.top_p, manifest.top_p, 1.0),
            top_k: Setting::resolve(flags.top_k, manifest.top_k, 0),
            min_p: Setting::resolve(flags.min_p, manifest.min_p, 0.0),
            repetition_penalty: Setting::resolve(flags.repetition_penalty, manifest.repetition_penalty, 1.0),
            presence_penalty: Setting::resolve(flags.presence_penalty, None, 0.0),
            frequency_penalty: Setting::resolve(flags.frequency_penalty, None, 0.0),
            seed: Setting::resolve(flags.seed, manifest.seed, 0),
            max_tokens: Setting::resolve(flags.max_tokens, manifest.max_new_tokens.or(manifest.max_tokens), MAX_TOKENS),
            stop: Setting::resolve(flags.stop.clone(), manifest.stop_sequences.clone(), Vec::new()),
            validation: Setting::resolve(flags.validation, mode, Mode::Parser),
            thinking: Setting::resolve(flags.thinking, manifest.enable_thinking, false),
            grammar: Setting::resolve(None, None, "none".to_owned()),
            schema_guard: Setting::resolve(flags.schema_guard, None, true),
            mask_first: Setting::resolve(flags.mask_first, None, false),
            confidence: Setting::resolve(flags.confidence, None, false),
            second_look: Setting::resolve(flags.second_look, None, SECOND_LOOK),
            leaning: Setting::resolve(flags.leaning, None, true),
        };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<()> {
        fn within<T: PartialOrd + Display + Copy>(
            name: &str,
            setting: &Setting<T>,
            fits: impl Fn(T) -> bool,
            range: &str,
        ) -> Result<()> {
            if fits(setting.value) {
                return Ok(());
            }
            let message = format!("{name} is {} ({}), it must be {range}", setting.value, setting.origin.name());
            Err(if setting.origin == Origin::Flag { Problem::usage(message) } else { Problem::input(message) }.into())
        }
        within("temperature", &self.temperature, |t| (0.0..=100.0).contains(&t), "0 to 100")?;
        within("top_p", &self.top_p, |p| p > 0.0 && p <= 1.0, "above 0 and at most 1")?;
        within("min_p", &self.min_p, |p| (0.0..=1.0).contains(&p), "0 to 1")?;
        within("repetition_penalty", &self.repetition_penalty, |p| p > 0.0 && p <= 100.0, "above 0 and at most 100")?;
        within("presence_penalty", &self.presence_penalty, |p| (-100.0..=100.0).contains(&p), "-100 to 100")?;
        within("frequency_penalty", &self.frequency_penalty, |p| (-100.0..=100.0).contains(&p), "-100 to 100")?;
        within("second_look", &self.second_look, |n| n <= MOST_BEAMS, "at most 64")?;
        within("max_tokens", &self.max_tokens, |n| n > 0, "at least 1")
    }

    /// The sampler's chain.
    pub fn chain(&self) -> Chain {
        Chain {
            repetition_penalty: self.repetition_penalty.value as f32,
            presence_penalty: self.presence_penalty.value as f32,
            frequency_penalty: self.frequency_penalty.value as f32,
            temperature: self.temperature.value as f32,
            top_k: self.top_k.value,
            top_p: self.top_p.value as f32,
            min_p: self.min_p.value as f32,
        }
    }

    /// Name, value and origin of every setting, in the order of the sampler.
    pub fn list(&self) -> Vec<(&'static str, Value, Origin)> {
        vec![
            ("repetition_penalty", json!(self.repetition_penalty.value), self.repetition_penalty.origin),
            ("presence_penalty", json!(self.presence_penalty.value), self.presence_penalty.origin),
            ("frequency_penalty", json!(self.frequency_penalty.value), self.frequency_penalty.origin),
            ("temperature", json!(self.temperature.value), self.temperature.origin),
            ("top_k", json!(self.top_k.value), self.top_k.origin),
            ("top_p", json!(self.top_p.value), self.top_p.origin),
            ("min_p", json!(self.min_p.value), self.min_p.origin),
            ("seed", json!(self.seed.value), self.seed.origin),
            ("max_tokens", json!(self.max_tokens.value), self.max_tokens.origin),
            ("stop_sequences", json!(self.stop.value), self.stop.origin),
            ("validation", json!(self.validation.value.name()), self.validation.origin),
            ("enable_thinking", json!(self.thinking.value), self.thinking.origin),
            ("grammar", json!(self.grammar.value), self.grammar.origin),
            ("schema_guard", json!(self.schema_guard.value), self.schema_guard.origin),
            ("mask_first", json!(self.mask_first.value), self.mask_first.origin),
            ("confidence", json!(self.confidence.value), self.confidence.origin),
            ("second_look", json!(self.second_look.value), self.second_look.origin),
            ("leaning", json!(self.leaning.value), self.leaning.origin),
        ]
    }

    /// `{name: {value, origin}}`.
    pub fn to_json(&self) -> Value {
        let entry = |(name, value, origin): (&str, Value, Origin)| {
            (name.to_owned(), json!({"value": value, "origin": origin.name()}))
        };
        Value::Object(self.list().into_iter().map(entry).collect::<Map<_, _>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_manifest_and_the_manifest_over_defaults() {
        let manifest = Decoding {
            temperature: Some(0.7),
            top_k: Some(20),
            max_tokens: Some(10),
            max_new_tokens: Some(99),
            validation: Some("parser-strict".into()),
            ..Decoding::default()
        };
        let flags = Overrides { temperature: Some(0.0), seed: Some(3), ..Overrides::default() };
        let settings = Settings::resolve(&flags, &manifest).unwrap();
        assert_eq!(settings.temperature, Setting { value: 0.0, origin: Origin::Flag });
        assert_eq!(settings.top_k, Setting { value: 20, origin: Origin::Manifest });
        assert_eq!(settings.max_tokens, Setting { value: 99, origin: Origin::Manifest });
        assert_eq!(settings.min_p, Setting { value: 0.0, origin: Origin::Default });
        assert_eq!(settings.validation.value, Mode::ParserStrict);
        assert_eq!(settings.to_json()["seed"], json!({"value": 3, "origin": "flag"}));
        assert_eq!(settings.chain(), Chain { top_k: 20, ..Chain::default() });
    }

    #[test]
    fn a_value_out_of_range_names_who_set_it() {
        let flags = Overrides { top_p: Some(1.5), ..Overrides::default() };
        let error = Settings::resolve(&flags, &Decoding::default()).unwrap_err().to_string();
        assert!(error.contains("top_p is 1.5 (flag)"), "{error}");
        let manifest = Decoding { temperature: Some(-1.0), ..Decoding::default() };
        let error = Settings::resolve(&Overrides::default(), &manifest).unwrap_err().to_string();
        assert!(error.contains("temperature is -1 (manifest)"), "{error}");
        let nan = Overrides { temperature: Some(f64::NAN), ..Overrides::default() };
        assert!(Settings::resolve(&nan, &Decoding::default()).is_err());
    }
}
