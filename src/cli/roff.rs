//! Turns the Markdown of a manual page into roff, in ASCII: headings, paragraphs, lists of one level, `code` and **bold**. That is all that
//! `docs/*.5.md` use.

use std::fmt::Write as _;

use crate::cli::exit_status::ExitStatus;

/// What a line of Markdown begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    None,
    Paragraph,
    ListItem,
}

/// Returns the page in roff. Its first line is `# name(section)`; `summary` is what `whatis` shows of it.
pub fn from_markdown(page: &str, summary: &str) -> String {
    let (title, rest) = page.split_once('\n').unwrap_or((page, ""));
    let (name, section) = title.trim_start_matches("# ").trim_end_matches(')').split_once('(').unwrap_or((title, "5"));
    let mut out = format!(
        ".TH \"{}\" \"{section}\" \"\" \"sidegate {}\"\n.SH NAME\n{name} \\- {summary}\n",
        name.to_uppercase(),
        env!("CARGO_PKG_VERSION")
    );
    out.push_str(".SH DESCRIPTION\n");
    let mut block = Block::None;
    for line in rest.lines() {
        block = write_line(&mut out, line, block);
    }
    out
}

/// Returns a page with every letter beyond ASCII named by its number, which every program that formats pages understands whatever the locale.
pub fn in_ascii(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    for letter in page.chars() {
        if letter.is_ascii() {
            out.push(letter);
        } else {
            let _ = write!(out, "\\[u{:04X}]", u32::from(letter));
        }
    }
    out
}

/// Returns the section of a manual page that says what each exit code says.
pub fn exit_status_section(codes: &[ExitStatus]) -> String {
    let mut out = ".SH \"EXIT STATUS\"\n".to_owned();
    for status in codes {
        let _ = writeln!(out, ".TP\n\\fB{}\\fR\n{}", status.code, text_line(status.says));
    }
    out
}

fn write_line(out: &mut String, line: &str, block: Block) -> Block {
    if let Some(heading) = line.strip_prefix("## ") {
        let _ = writeln!(out, ".SH {}", inline(heading));
        Block::None
    } else if let Some(setting) = line.strip_prefix("### ") {
        let _ = writeln!(out, ".SS {}", inline(setting));
        Block::None
    } else if let Some(item) = line.strip_prefix("* ").or_else(|| line.strip_prefix("- ")) {
        let _ = writeln!(out, ".IP \\(bu 2\n{}", text_line(item));
        Block::ListItem
    } else if line.trim().is_empty() {
        Block::None
    } else {
        if block == Block::None {
            out.push_str(".PP\n");
        }
        let _ = writeln!(out, "{}", text_line(line.trim_start()));
        if block == Block::ListItem { Block::ListItem } else { Block::Paragraph }
    }
}

/// Returns a line of text, which must not be taken for a request.
fn text_line(text: &str) -> String {
    let line = inline(text);
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

/// Escapes text, and makes `code` and **bold** bold.
fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut code, mut bold) = (false, false);
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        if letter == '`' {
            code = !code;
            out.push_str(if code { "\\fB" } else { "\\fR" });
        } else if !code && rest.starts_with("**") {
            bold = !bold;
            out.push_str(if bold { "\\fB" } else { "\\fR" });
            rest = rest.get(1..).unwrap_or_default();
        } else {
            match letter {
                '\\' => out.push_str("\\e"),
                '-' => out.push_str("\\-"),
                '"' => out.push_str("\\(dq"),
                other => out.push(other),
            }
        }
        rest = rest.get(letter.len_utf8()..).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{from_markdown, in_ascii};

    #[test]
    fn a_letter_beyond_ascii_is_named_by_its_number() {
        assert_eq!(in_ascii("user, key …\n\\fB–\\fR 🔑"), "user, key \\[u2026]\n\\fB\\[u2013]\\fR \\[u1F511]");
    }

    #[test]
    fn headings_paragraphs_lists_and_code_become_roff() {
        let page = "# x.toml(5)\n\nWhat it is,\n`--config` and **more**.\n\n## Form\n\n* one\n  goes on\n* two\n\n### `a.b = \"1\"`\n.hidden \\ text\n";
        let roff = from_markdown(page, "configuration of x");
        let (_, body) = roff.split_once(".SH DESCRIPTION\n").unwrap();
        assert_eq!(
            body,
            ".PP\nWhat it is,\n\\fB\\-\\-config\\fR and \\fBmore\\fR.\n.SH Form\n.IP \\(bu 2\none\ngoes on\n.IP \\(bu 2\ntwo\n\
             .SS \\fBa.b = \\(dq1\\(dq\\fR\n.PP\n\\&.hidden \\e text\n"
        );
        assert!(roff.starts_with(".TH \"X.TOML\" \"5\" ") && roff.contains("\n.SH NAME\nx.toml \\- configuration of x\n"), "{roff}");
    }
}
