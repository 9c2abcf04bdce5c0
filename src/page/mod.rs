//! Pages that open offline: one file, no script, nothing fetched; light and dark, phone and desktop. The shell, the style, curves
//! as inline SVG, and numbers as people read them. Knows nothing of what a page is about.

pub mod chart;
mod numbers;

use std::fmt::Write as _;

pub use numbers::{short, ticks};

/// Lines that differ in colour and dashes; further ones begin again.
pub const STYLES: usize = 6;

/// A page: `title` is text, `style` is CSS beside the common one, `body` is HTML.
pub fn shell(title: &str, style: &str, body: &str) -> String {
    let title = escape(title);
    let mut page = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
    let _ = write!(page, "<title>{title}</title><style>{}{style}</style></head><body>", include_str!("style.css"));
    let _ = write!(page, "<h1>{title}</h1>{body}");
    let _ = writeln!(page, "<footer>expert-cli {}</footer></body></html>", env!("CARGO_PKG_VERSION"));
    page
}

/// Text for the inside of an element or an attribute.
pub fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() && c != '\n' => {}
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        let page = shell("<script>a", "", &format!("<p title=\"{}\">x</p>", escape("\" onclick=\"b\" \u{7}&")));
        assert!(page.contains("<title>&lt;script&gt;a</title>") && !page.contains("<script"));
        assert!(page.contains("&quot; onclick=&quot;b&quot; &amp;") && !page.contains('\u{7}'));
    }
}
