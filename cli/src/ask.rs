//! What a person gives: secrets, which never stand in an argument, and yes or no.

use std::{
    fs::File,
    io::{self, BufRead, IsTerminal, Read, Write},
    path::Path,
};

use gateway::{Error, Kind, Result, Secret};
use serde_json::Value;

/// Larger input is none that was meant.
const LARGEST: u64 = 1 << 20;
/// The name of standard input.
const STDIN: &str = "-";

/// A secret from a file, from standard input (`-`), or, where none is named and somebody sits there, typed unseen.
pub(crate) fn secret(file: Option<&Path>, what: &str) -> Result<Secret> {
    let text = match file {
        None if io::stdin().is_terminal() => {
            rpassword::prompt_password(format!("{what}: ")).map_err(|why| unreadable("the terminal", why))?
        }
        None => text(Path::new(STDIN), what)?,
        Some(file) => text(file, what)?,
    };
    match text.trim() {
        "" => Err(Error::new(Kind::InvalidRequest, format!("the {what} is empty"))),
        secret => Ok(Secret::new(secret)),
    }
}

/// What a file holds, or standard input (`-`).
pub(crate) fn text(file: &Path, what: &str) -> Result<String> {
    // The name is not told: whoever takes the option for the secret itself would find it in a log.
    let name = format!("the file of the {what}");
    let mut text = String::new();
    let read = if file == Path::new(STDIN) {
        io::stdin().take(LARGEST + 1).read_to_string(&mut text)
    } else {
        File::open(file).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text))
    };
    match read {
        Err(why) => Err(unreadable(&name, why)),
        Ok(_) if text.len() as u64 > LARGEST => Err(Error::new(Kind::InvalidRequest, format!("{name} is too large"))),
        Ok(_) => Ok(text),
    }
}

/// A JSON object from a file, or from standard input (`-`).
pub(crate) fn object(file: &Path) -> Result<serde_json::Map<String, Value>> {
    match serde_json::from_str(&text(file, "fields")?) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(Error::new(Kind::InvalidRequest, "the file of the fields does not hold a JSON object")),
    }
}

/// Whether it is really meant: `yes` says so beforehand, else somebody must.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Error::new(Kind::InvalidRequest, "nobody is there to be asked: say --yes"));
    }
    let mut answer = String::new();
    let asked = write!(io::stderr(), "{} [y/N] ", crate::out::plain(question));
    asked.and_then(|()| io::stdin().lock().read_line(&mut answer)).map_err(Error::internal)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::new(Kind::InvalidRequest, "nothing was done")),
    }
}

fn unreadable(what: &str, why: io::Error) -> Error {
    let message = format!("{what} cannot be read");
    Error::new(Kind::InvalidRequest, message).with_source(why)
}
