//! TODO-DOC

#[cfg(test)]
pub(crate) mod crash;
#[cfg(test)]
pub(crate) mod model_based;
