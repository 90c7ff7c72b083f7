//! x
/// x
#[derive(Debug, Clone)]
pub struct Observation;
