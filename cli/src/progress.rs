//! How far something has come that takes a while: one line that is written over, where somebody watches.

use std::io::{self, IsTerminal, Write};

/// A line of standard error; where that is no terminal, nothing.
pub(crate) struct Progress<W: Write = io::Stderr> {
    to: Option<W>,
    shown: bool,
}

impl Progress {
    /// On standard error.
    pub(crate) fn new() -> Self {
        Self::on(Some(io::stderr()).filter(IsTerminal::is_terminal))
    }
}

impl<W: Write> Progress<W> {
    fn on(to: Option<W>) -> Self {
        Self { to, shown: false }
    }

    /// Says how far it has come; `text` is ours, and short.
    pub(crate) fn tell(&mut self, text: &str) {
        if let Some(to) = &mut self.to {
            self.shown = true;
            let _nobody_left_to_tell = write!(to, "\r\u{1b}[2K{text}").and_then(|()| to.flush());
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&mut self) {
        if let (Some(to), true) = (&mut self.to, std::mem::take(&mut self.shown)) {
            let _nobody_left_to_tell = write!(to, "\r\u{1b}[2K").and_then(|()| to.flush());
        }
    }
}

impl<W: Write> Drop for Progress<W> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_over_and_goes_in_the_end() {
        let mut written = Vec::new();
        let mut progress = Progress::on(Some(&mut written));
        progress.tell("1 row");
        progress.tell("2 rows");
        drop(progress);
        assert_eq!(String::from_utf8(written).unwrap(), "\r\u{1b}[2K1 row\r\u{1b}[2K2 rows\r\u{1b}[2K");
    }
}
