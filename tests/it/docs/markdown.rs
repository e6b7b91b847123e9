//! As much of Markdown as the project's documents use: headings, fenced blocks, tables, links.

use std::path::{Path, PathBuf};

pub(super) struct Document {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

#[derive(Debug, Clone)]
pub(super) struct Heading {
    pub(super) level: usize,
    pub(super) text: String,
}

/// A fenced block.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) language: String,
    pub(super) text: String,
    pub(super) line: usize,
}

enum Line<'a> {
    Heading(Heading),
    Prose(&'a str),
    Block(Block),
}

impl Document {
    pub(super) fn read(path: &Path) -> Document {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Document { path: path.to_path_buf(), text }
    }

    pub(super) fn headings(&self) -> Vec<Heading> {
        let heading = |line| if let Line::Heading(heading) = line { Some(heading) } else { None };
        self.lines().into_iter().filter_map(heading).collect()
    }

    /// The fenced blocks of a language.
    pub(super) fn blocks(&self, language: &str) -> Vec<Block> {
        self.all_blocks().into_iter().filter(|block| block.language == language).collect()
    }

    pub(super) fn all_blocks(&self) -> Vec<Block> {
        let block = |line| if let Line::Block(block) = line { Some(block) } else { None };
        self.lines().into_iter().filter_map(block).collect()
    }

    /// The text under a heading, as far as the next heading of its level or above.
    pub(super) fn section(&self, title: &str) -> Document {
        let mut level = None;
        let mut text = String::new();
        let mut fenced = false;
        for line in self.text.lines() {
            fenced ^= line.trim_start().starts_with("```");
            if let (Some(heading), false) = (heading(line), fenced) {
                match level {
                    None if heading.text == title => level = Some(heading.level),
                    Some(level) if heading.level <= level => break,
                    _ => {}
                }
            }
            if level.is_some() {
                text.push_str(line);
                text.push('\n');
            }
        }
        assert!(level.is_some(), "{} has no heading `{title}`", self.path.display());
        Document { path: self.path.clone(), text }
    }

    /// The rows of every table, without heads: each cell without the spaces around it.
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        let mut rows: Vec<Vec<String>> = Vec::new();
        for line in self.lines() {
            let Line::Prose(line) = line else { continue };
            let Some(cells) = line.trim().strip_prefix('|').and_then(|line| line.strip_suffix('|')) else { continue };
            let cells: Vec<String> = cells.split('|').map(|cell| cell.trim().to_owned()).collect();
            if cells.iter().all(|cell| !cell.is_empty() && cell.chars().all(|c| c == '-' || c == ':')) {
                // The row before was the head.
                rows.pop();
            } else {
                rows.push(cells);
            }
        }
        rows
    }

    /// The targets of inline links.
    pub(super) fn links(&self) -> Vec<String> {
        let mut links = Vec::new();
        for line in self.lines() {
            let Line::Prose(line) = line else { continue };
            let without_code: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
            let mut rest = without_code.as_str();
            while let Some((_, after)) = rest.split_once("](") {
                let (link, after) = after.split_once(')').unwrap_or((after, ""));
                links.push(link.to_owned());
                rest = after;
            }
        }
        links
    }

    fn lines(&self) -> Vec<Line<'_>> {
        let mut lines = Vec::new();
        let mut open: Option<Block> = None;
        for (index, line) in self.text.lines().enumerate() {
            match (&mut open, line.strip_prefix("```")) {
                (Some(_), Some("")) => lines.extend(open.take().map(Line::Block)),
                (Some(block), _) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, Some(language)) => {
                    open = Some(Block { language: language.to_owned(), text: String::new(), line: index + 1 });
                }
                (None, None) => match heading(line) {
                    Some(heading) => lines.push(Line::Heading(heading)),
                    None => lines.push(Line::Prose(line)),
                },
            }
        }
        assert!(open.is_none(), "{}: a block is not closed", self.path.display());
        lines
    }
}

fn heading(line: &str) -> Option<Heading> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    (level > 0 && text.starts_with(' ')).then(|| Heading { level, text: text.trim().to_owned() })
}

/// The anchor of a heading.
pub(super) fn slug(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// What stands in backticks.
pub(super) fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}
