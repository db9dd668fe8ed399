//! `pitcrew ensure`: has an agent of AWS installed and running, by the package manager or through Systems Manager.

mod package;
mod ssm;

pub use package::install as by_package;
pub use ssm::{Who, associate, send};
