//! What must not leave this machine in a package: paths, home folders, keys and passwords in text files.

use std::sync::LazyLock;

use regex::Regex;

/// What a rule looks for, and whether the match itself may be shown.
struct Rule {
    what: &'static str,
    pattern: Regex,
    secret: bool,
}

/// A place that should not be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// The file in the package.
    pub file: String,
    /// Line from 1.
    pub line: usize,
    /// What was found; of a secret only its beginning.
    pub what: String,
}

/// One group is the match. There is no look-behind: the character before is matched outside the group.
const RULES: [(&str, &str, bool); 12] = [
    ("a home folder", r#"(?:^|[^\w/.:-])(/(?:home|Users)/[^\s"'`<>)\\]+|/root/[^\s"'`<>)\\]+)"#, false),
    (
        "an absolute path",
        r#"(?:^|[^\w/.:-])(/(?:mnt|media|tmp|var|opt|srv|data|work|workspace|private|Volumes|scratch|content|kaggle)/[^\s"'`<>)\\]+)"#,
        false,
    ),
    ("an absolute path", r#""(/[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_. -]+)+/?)""#, false),
    ("an absolute path", r#"(?:^|[^\w])([A-Za-z]:(?:\\{1,2}|/)[A-Za-z0-9_.-]+(?:\\|/)[^\s"'`<>)]*)"#, false),
    ("a network path", r#"(?:^|[\s"'`])(\\{2,4}[A-Za-z0-9_.-]+\\{1,2}[A-Za-z0-9_.$-]+)"#, false),
    ("a private key", r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)", true),
    ("an API key", r"(?:^|[^A-Za-z0-9])(sk-[A-Za-z0-9_-]{20,}|AIza[0-9A-Za-z_-]{35}|AKIA[0-9A-Z]{16})", true),
    (
        "an access token",
        r"(?:^|[^A-Za-z0-9])(hf_[A-Za-z0-9]{30,}|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,}|glpat-[A-Za-z0-9_-]{20,})",
        true,
    ),
    ("an access token", r"(?:^|[^A-Za-z0-9])(xox[abprs]-[A-Za-z0-9-]{10,}|npm_[A-Za-z0-9]{36})", true),
    ("a signed token", r"(?:^|[^A-Za-z0-9])(eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,})", true),
    ("a password in an address", r"://[^/\s:@]+:([^/\s:@]{3,})@", true),
    (
        "a password or key",
        r#"(?i)(?:api[_-]?key|secret[_-]?key|access[_-]?key|auth[_-]?token|access[_-]?token|password|passwd)["']?\s*[:=]\s*["']([^"'\s]{8,})["']"#,
        true,
    ),
];

static COMPILED: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    RULES
        .iter()
        .filter_map(|(what, pattern, secret)| Some(Rule { what, pattern: Regex::new(pattern).ok()?, secret: *secret }))
        .collect()
});

/// Every leak in a text file. The vocabulary files of the base model are public and full of odd words: not searched.
pub(super) fn leaks(file: &str, bytes: &[u8]) -> Vec<Leak> {
    if matches!(file, "tokenizer.json" | "vocab.json") {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(bytes);
    let mut leaks: Vec<Leak> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for rule in COMPILED.iter() {
            let Some(found) = rule.pattern.captures(line).and_then(|c| c.get(1)) else { continue };
            let shown = if rule.secret { redact(found.as_str()) } else { found.as_str().to_owned() };
            let leak = Leak { file: file.to_owned(), line: index + 1, what: format!("{}: {shown}", rule.what) };
            if !leaks.iter().any(|other| other.line == leak.line && other.what.ends_with(&shown)) {
                leaks.push(leak);
            }
        }
    }
    leaks
}

fn redact(secret: &str) -> String {
    let shown = if secret.starts_with("-----") { 64 } else { 4 };
    let start: String = secret.chars().take(shown).collect();
    if start.len() < secret.len() { format!("{start}…") } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_compiles() {
        assert_eq!(COMPILED.len(), RULES.len());
    }

    #[test]
    fn leaks_are_found_and_secrets_are_not_shown() {
        let key = format!("sk-{}", "a1B2".repeat(8));
        for (text, what) in [
            ("see /home/ana/data.jsonl", "a home folder: /home/ana/data.jsonl"),
            (r#"{"p": "/Users/ana/x"}"#, "a home folder: /Users/ana/x"),
            (r#"{"p": "/srv2/models/q"}"#, "an absolute path: /srv2/models/q"),
            ("(/mnt/disk/x)", "an absolute path: /mnt/disk/x"),
            (r#"{"p": "F:\\Node\\models"}"#, r"an absolute path: F:\\Node\\models"),
            ("C:/Users/ana/x", "an absolute path: C:/Users/ana/x"),
            (r"\\server\share", r"a network path: \\server\share"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----", "a private key: -----BEGIN OPENSSH PRIVATE KEY-----"),
            (&key, "an API key: sk-a…"),
            ("AKIAABCDEFGHIJKLMNOP", "an API key: AKIA…"),
            (&format!("token hf_{}", "x".repeat(34)), "an access token: hf_x…"),
            (&format!("ghp_{}", "x".repeat(36)), "an access token: ghp_…"),
            ("postgres://ana:hunter2@db/x", "a password in an address: hunt…"),
            (r#""api_key": "0123456789abcdef""#, "a password or key: 0123…"),
        ] {
            let found = leaks("README.md", text.as_bytes());
            assert_eq!(found.iter().map(|l| l.what.as_str()).collect::<Vec<_>>(), [what], "{text}");
        }
        let lines = leaks("x.md", b"fine\nfine\n/home/ana/x\n");
        assert_eq!(lines[0].line, 3);
    }

    #[test]
    fn ordinary_text_is_no_leak() {
        for text in [
            "and/or, 1/2, https://example.org/home/page, s3://bucket/tmp/x",
            "`expert-cli chat --experts sql`, /help, ~/.expert, ./weights/final, a/tmp/b",
            r#"{"eos_token": "<|im_end|>", "chat_template": "{% if x %}\n/think{% endif %}", "path": "Qwen/Qwen3-0.6B"}"#,
            "datasets/processed/train.jsonl, time: 12:30, ratio 3:1, C: is a letter, key: value",
            r#""tokenizer_class": "Qwen2Tokenizer", "password": """#,
            "root ::= select | with\nws ::= [ \\t\\n]*",
        ] {
            assert_eq!(leaks("README.md", text.as_bytes()), [], "{text}");
        }
        assert_eq!(leaks("vocab.json", br#"{"/home/ana": 1}"#), []);
    }
}
