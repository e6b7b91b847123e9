//! `rowgate init`: a small bundle to begin with.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use crate::cli::output::{self, Style, shell_word};
use crate::cli::{Failed, own_name};

const SCHEMA: &str = include_str!("starter/schema.luau");
const FUNCTIONS: &str = include_str!("starter/functions.luau");
/// What the extension is called where the folder's own name would not do.
const NAME: &str = "notes";

/// Write a small bundle into a new folder
#[derive(Debug, Args)]
#[command(after_help = "Example:
  rowgate init my-extension && rowgate dev my-extension")]
pub(super) struct Init {
    /// The folder to make; it must be missing or empty
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn run(options: &Init) -> Result<(), Failed> {
    let folder = &options.folder;
    must_be_empty(folder)?;
    let extension = json!({ "id": Uuid::new_v4(), "name": name_of(folder), "version": "0.1.0" });
    let extension = format!("{}\n", serde_json::to_string_pretty(&extension)?);
    for (file, text) in [
        ("extension.json", extension.as_str()),
        ("server/schema.luau", SCHEMA),
        ("server/functions.luau", FUNCTIONS),
        (".gitignore", ".rowgate/\n"),
    ] {
        write(&folder.join(file), text)
            .map_err(|error| Failed::Because(format!("cannot write {}: {error}", folder.join(file).display())))?;
    }
    let style = Style::of_stdout();
    let shown = shell_word(&folder.display().to_string());
    let rowgate = own_name();
    output::result(&format!(
        "{shown} has a small bundle for notes:
  extension.json          who the extension is; its id never changes
  server/schema.luau      tables
  server/functions.luau   functions

{}
  {rowgate} dev {shown}
  {rowgate} call listNotes
  {rowgate} call addNote '{{\"title\": \"milk\"}}' --as editor
",
        style.strong("next:")
    ))
}

fn must_be_empty(folder: &Path) -> Result<(), Failed> {
    let shown = folder.display();
    match std::fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Failed::Because(format!("the folder `{shown}` is not empty; choose a new one"))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(Failed::Because(format!("`{shown}` is a file; choose a new folder")))
        }
        Err(error) => Err(Failed::Because(format!("cannot read `{shown}`: {error}"))),
    }
}

fn name_of(folder: &Path) -> String {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    let name = absolute.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let usable = !name.trim().is_empty() && name.chars().count() <= 100 && !name.contains(char::is_control);
    if usable { name } else { NAME.to_owned() }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // Never over a file that came to be meanwhile.
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}
