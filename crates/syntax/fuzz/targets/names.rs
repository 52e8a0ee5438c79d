//! Names of every kind, keys, aliases: no panic; a name in its parts is the same name again, with its version and without.
#![no_main]

use libfuzzer_sys::fuzz_target;
use syntax::names;

fuzz_target!(|text: &str| {
    if let Ok(name) = names::FullName::parse(text) {
        let again = names::FullName::parse(&name.to_string()).expect("a printed name is one");
        assert!(again.is_same(&name) && again.key() == name.key());
    }
    if let Ok((name, Some(version))) = names::FullName::parse_versioned(text) {
        let again = names::FullName::parse_versioned(&format!("{name}@{version}"));
        assert_eq!(again, Ok((name, Some(version))));
    }
    _ = names::check_catalog_name(text);
    _ = names::check_schema_name(text);
    _ = names::check_leaf_name(text);
    _ = names::check_alias(text);
    _ = names::check_alias_not_reserved(text);
    _ = names::check_experiment_name(text);
    _ = names::check_endpoint_name(text);
    _ = names::check_logged_model_name(text);
    _ = names::check_key("key", text);
    _ = names::normalised_path(text);
    if names::check_model_name(text).is_ok() {
        let escaped = names::escape_wire_name(text);
        assert_eq!(names::unescape_wire_name(&escaped).as_deref(), Some(text), "{escaped}");
    }
    _ = names::unescape_wire_name(text);
    let (wanted, known) = text.split_once('\n').unwrap_or((text, text));
    _ = names::closest(wanted, known.split(' '));
});
