//! The disk tier: one SQLite file.
