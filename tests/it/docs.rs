//! What the documents say is true: links lead somewhere, examples are the examples' own, codes and
//! settings are all there, SQL is what the compiler writes, and every line for the shell works.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod changes;
mod configuration;
mod definition;
mod errors;
mod examples;
mod markdown;
mod metrics;
mod operations;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::docs::markdown::{Document, slug};

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every document of the repository.
fn documents() -> Vec<Document> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".md") {
                found.push(Document::read(&path));
            }
        }
    }
    assert!(found.len() > 10, "the documents are not where they are looked for");
    found
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        for link in document.links() {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() {
                document.path.clone()
            } else {
                document.path.parent().unwrap_or(Path::new("")).join(path)
            };
            let reaches = target.exists()
                && (anchor.is_empty()
                    || Document::read(&target).headings().iter().any(|heading| slug(&heading.text) == anchor));
            if !reaches {
                broken.push(format!("{}: {link}", document.path.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn the_readme_shows_the_example_as_it_is() {
    let readme = Document::read(&root().join("README.md"));
    let blocks = readme.blocks("lua");
    assert_eq!(blocks.len(), 2, "the README shows the example's two files");
    for (block, file) in blocks.iter().zip(["schema", "functions"]) {
        let path = root().join(format!("examples/live-poll/server/{file}.luau"));
        let example = std::fs::read_to_string(path).unwrap();
        for part in block.text.trim_end().split("\n\n") {
            let part = part.strip_prefix(&format!("-- server/{file}.luau\n")).unwrap_or(part);
            assert!(example.contains(part), "README.md, line {}: not in the example:\n{part}", block.line);
        }
    }
}

#[test]
fn every_document_of_docs_is_linked_from_the_readme() {
    let linked: BTreeSet<PathBuf> = Document::read(&root().join("README.md"))
        .links()
        .iter()
        .map(|link| root().join(link.split('#').next().unwrap_or(link)))
        .collect();
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        let path = if path.is_dir() { path.join("README.md") } else { path };
        assert!(linked.contains(&path), "README.md does not lead to {}", path.display());
    }
}

#[test]
fn documents_do_not_say_where_they_were_written() {
    for document in documents() {
        for word in ["/work/", "/root/", "/tmp/docs", "crates.io"] {
            assert!(!document.text.contains(word), "{} says `{word}`", document.path.display());
        }
    }
}
