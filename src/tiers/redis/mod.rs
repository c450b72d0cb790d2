//! The Redis tier.
