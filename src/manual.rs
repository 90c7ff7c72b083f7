//! Write shell completions and manual pages of every tool into a folder: for `make install`.
//!
//! Reads   nothing
//! Writes  `DIR/{bash,zsh,fish}/…`, `DIR/man/….1`
//!
//! A new tool is one line in `tools!`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Command, CommandFactory, Parser};
use clap_complete::Shell;
use ekp::cli;
use ekp::explain::Exit;
use ekp::files::FileError;

/// Each tool by its file: the command line is taken from where it is defined.
macro_rules! tools {
    ($($module:ident = $file:literal),* $(,)?) => {
        $(#[path = $file] mod $module;)*
        /// The command line of each tool
        fn tools() -> Vec<Command> {
            vec![$($module::Args::command()),*]
        }
    };
}

tools! {
    cancel = "bin/ekp-cancel.rs",
    cat = "bin/ekp-cat.rs",
    collect_timings = "bin/ekp-collect-timings.rs",
    export = "bin/ekp-export.rs",
    init = "bin/ekp-init.rs",
    init_ensemble = "bin/ekp-init-ensemble.rs",
    launch = "bin/ekp-launch.rs",
    probe = "bin/ekp-probe.rs",
    report = "bin/ekp-report.rs",
    run_member = "bin/ekp-run-member.rs",
    status = "bin/ekp-status.rs",
    sweep = "bin/ekp-sweep.rs",
    update = "bin/ekp-update.rs",
    worker = "bin/ekp-worker.rs",
}

/// Write shell completions and manual pages of every tool
#[derive(Debug, Parser)]
#[command(name = "ekp-manual", version)]
struct Own {
    /// Folder to write into
    folder: PathBuf,
}

fn main() -> ExitCode {
    cli::finish("ekp-manual", run(&Own::parse().folder))
}

fn run(folder: &Path) -> Result<Exit, FileError> {
    let shells = [("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)];
    for below in shells.iter().map(|(name, _)| *name).chain(["man"]) {
        let path = folder.join(below);
        fs::create_dir_all(&path).map_err(FileError::io("make", &path))?;
    }
    for mut tool in tools() {
        let name = tool.get_name().to_owned();
        for (below, shell) in shells {
            let path = folder.join(below);
            clap_complete::generate_to(shell, &mut tool, &name, &path)
                .map_err(FileError::io("write", &path))?;
        }
        let path = folder.join("man").join(format!("{name}.1"));
        let mut page = Vec::new();
        clap_mangen::Man::new(tool).render(&mut page).map_err(FileError::io("write", &path))?;
        fs::write(&path, page).map_err(FileError::io("write", &path))?;
    }
    Ok(Exit::Done)
}
