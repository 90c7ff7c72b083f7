//! What all tools share: how they end, how they speak, how they show progress.
//!
//! Belongs here: exit codes, messages, common arguments, progress bars. Not here: decisions.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::explain::{Exit, Explain, reason};
use crate::files::Iteration;

pub use crate::report::table::{short, table};

/// Arguments of every tool.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Voice {
    /// Say nothing but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

impl Voice {
    /// A line for people, on stderr.
    pub fn say(&self, line: &str) {
        if !self.quiet {
            let _ = writeln!(io::stderr().lock(), "{line}");
        }
    }

    /// A line for people who asked for more.
    pub fn detail(&self, line: &str) {
        if self.verbose && !self.quiet {
            let _ = writeln!(io::stderr().lock(), "{line}");
        }
    }

    /// Warnings, a line each.
    pub fn warn(&self, warnings: &[String]) {
        for warning in warnings {
            self.say(&format!("warning: {warning}"));
        }
    }
}

/// For clap: an iteration's number.
///
/// # Errors
/// What is allowed, in words.
pub fn iteration(text: &str) -> Result<Iteration, String> {
    let large = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().map_err(|_| match large {
        true => format!("allowed: at most {}", Iteration::MAX),
        false => "allowed: a number, as in the folder's name (`3` for `iteration_003`)".into(),
    })
}

/// For clap: a number from 1 on.
///
/// # Errors
/// What is allowed, in words.
pub fn from_one(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|&n| n >= 1).ok_or_else(|| "allowed: a number from 1 on".into())
}

/// For clap: seconds, above zero.
///
/// # Errors
/// What is allowed, in words.
pub fn seconds(text: &str) -> Result<f64, String> {
    let fits = |s: &f64| *s > 0.0 && s.is_finite();
    text.parse().ok().filter(fits).ok_or_else(|| "allowed: seconds, above 0".into())
}

/// For clap: threads of one process.
///
/// # Errors
/// What is allowed, in words.
pub fn threads(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| (1..=4096).contains(n)).ok_or_else(|| "allowed: 1 to 4096".into())
}

/// Colour on stderr: a terminal, and nobody said `NO_COLOR`.
pub fn colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Why data did not get to stdout, if they did not.
static UNSAID: OnceLock<String> = OnceLock::new();

/// Data, on stdout. A reader that went away (`| head`) is no error; any other is told by [`finish`].
pub fn out(text: &str) {
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        unsaid(&error);
    }
}

/// Stdout took something not: remembered until the tool ends, unless nobody listens any more.
pub fn unsaid(error: &io::Error) {
    if error.kind() != io::ErrorKind::BrokenPipe {
        let _ = UNSAID.set(reason(error));
    }
}

/// End a tool: print the error with its place and advice, choose the exit code.
pub fn finish<E: Explain>(tool: &str, result: Result<Exit, E>) -> ExitCode {
    let exit = match result {
        Ok(exit) => exit,
        Err(error) => {
            complain(tool, &error);
            error.exit()
        }
    };
    let exit = match UNSAID.get() {
        Some(why) => {
            let _ = writeln!(io::stderr().lock(), "{tool}: error: stdout cannot be written: {why}");
            if exit == Exit::Done { Exit::Failed } else { exit }
        }
        None => exit,
    };
    ExitCode::from(exit as u8)
}

/// Print an error as every tool does.
pub fn complain(tool: &str, error: &dyn Explain) {
    let colour = colour();
    let (red, bold, plain) = if colour { ("\x1b[1;31m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
    let mut text = format!("{bold}{tool}{plain}: {red}error{plain}: ");
    match error.marked() {
        Some(marked) => {
            text.push_str(&format!("{}\n{}", marked.title(), marked.picture(colour)));
        }
        None => text.push_str(&error.to_string()),
    }
    if let Some(hint) = error.hint() {
        text.push_str(&format!("\n hint: {hint}"));
    }
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Progress of one iteration: a bar on a terminal, a plain line now and then elsewhere.
pub struct Progress {
    bar: Option<indicatif::ProgressBar>,
    quiet: bool,
    state: Mutex<State>,
}

struct State {
    label: String,
    total: u64,
    done: u64,
    failed: u64,
    said: Instant,
}

impl Progress {
    /// How often a line is printed where there is no terminal.
    const EVERY: Duration = Duration::from_secs(30);

    /// For a tool with this voice.
    pub fn new(voice: Voice) -> Self {
        let terminal = io::stderr().is_terminal() && !voice.quiet;
        let bar = terminal.then(|| {
            let bar = indicatif::ProgressBar::new(0);
            let style = indicatif::ProgressStyle::with_template("{prefix:14} [{bar:32}] {pos}/{len} {msg}")
                .expect("the template is right");
            bar.set_style(style.progress_chars("=> "));
            bar
        });
        let state = State { label: String::new(), total: 0, done: 0, failed: 0, said: Instant::now() };
        Self { bar, quiet: voice.quiet, state: Mutex::new(state) }
    }

    /// A new stretch of `total` things.
    pub fn begin(&self, label: &str, total: u64) {
        let mut state = self.state.lock().expect("no one panics under this lock");
        *state = State { label: label.to_owned(), total, done: 0, failed: 0, said: Instant::now() };
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(0);
            bar.set_prefix(label.to_owned());
            bar.set_message("");
        }
    }

    /// One thing ended.
    pub fn step(&self, failed: bool) {
        let mut state = self.state.lock().expect("no one panics under this lock");
        state.done += 1;
        state.failed += u64::from(failed);
        if let Some(bar) = &self.bar {
            bar.set_position(state.done);
            if state.failed > 0 {
                bar.set_message(format!("{} failed", state.failed));
            }
        } else if !self.quiet && state.said.elapsed() > Self::EVERY {
            state.said = Instant::now();
            let State { label, done, total, failed, .. } = &*state;
            let _ = writeln!(io::stderr().lock(), "{label}: {done}/{total}, {failed} failed");
        }
    }

    /// A line that stays.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None if !self.quiet => {
                let _ = writeln!(io::stderr().lock(), "{text}");
            }
            None => {}
        }
    }

    /// Clear the bar.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
