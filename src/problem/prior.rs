//! x
/// x
#[derive(Debug, Clone)]
pub struct Prior;
/// x
pub struct Values;
