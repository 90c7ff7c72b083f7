//! ekp: calibrate a forward model by ensembles, with small tools that talk only through files.
//!
//! A room may use rooms on lower floors and [`explain`], never its neighbours, never upwards
//! (`tests/floors.rs` holds this):
//!
//! ```text
//!  7  src/bin/*        cli
//!  6  launch           report
//!  5  steps
//!  4  plan
//!  3  experiment
//!  2  kalman    dds    models
//!  1  problem
//!  0  numerics  files  machine
//!     explain (underfoot everywhere)
//! ```

pub mod cli;
pub mod dds;
pub mod experiment;
pub mod explain;
pub mod files;
pub mod kalman;
pub mod launch;
pub mod machine;
pub mod models;
pub mod numerics;
pub mod plan;
pub mod problem;
pub mod report;
pub mod steps;
