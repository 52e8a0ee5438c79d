//! Environment files as mlflow writes them, and as people and machines do.

use proptest::prelude::*;
use syntax::environment::{Environment, read_conda, read_python_env, read_requirements};

fn packages(found: &Environment) -> Vec<String> {
    found.packages.iter().map(|(name, asked)| format!("{name}{asked}")).collect()
}

#[test]
fn requirements_are_names_and_what_is_asked_of_them() {
    let check = |line: &str, expected: &[&str]| {
        assert_eq!(packages(&read_requirements(line)), expected, "{line}");
    };
    check("mlflow==3.17.2", &["mlflow==3.17.2"]);
    check("  scikit_learn >= 1.4, < 2  # for the pipeline", &["scikit-learn>=1.4,<2"]);
    check("Zope.Interface", &["zope-interface"]);
    check("ray[tune]==2.9", &["ray[tune]==2.9"]);
    check("tomli==2 ; python_version < '3.11'", &["tomli==2;python_version<'3.11'"]);
    check("mine @ https://example.com/mine.whl#sha256=ab", &["mine@https://example.com/mine.whl#sha256=ab"]);
    check("git+https://example.com/mine.git@v1", &["git+https://example.com/mine.git@v1"]);
    check("code/mine.whl", &["code/mine.whl"]);
    check("./mine", &["./mine"]);
    check("a==1\r\n\r\n# no\n-r more.txt\n--extra-index-url https://example.com\nA==2\n", &["a==1"]);
    check("#only=a comment", &[]);
}

#[test]
fn files_as_mlflow_writes_them() {
    let python_env = "python: 3.11.2\nbuild_dependencies:\n- pip==23.0.1\n- setuptools\ndependencies:\n- -r requirements.txt\n";
    let found = read_python_env(python_env).unwrap();
    assert_eq!((found.python.as_deref(), packages(&found)), (Some("3.11.2"), vec![]));
    let conda = "channels:\n- conda-forge\ndependencies:\n- python=3.11.2\n- pip<=23.0.1\n- openjdk=17=h1\n- pip:\n  \
                 - mlflow==3.17.2\n  - numpy==2.1.0\nname: mlflow-env\n";
    let found = read_conda(conda).unwrap();
    assert_eq!(found.python.as_deref(), Some("3.11.2"));
    assert_eq!(packages(&found), ["mlflow==3.17.2", "numpy==2.1.0", "openjdk=17=h1", "pip<=23.0.1"]);
}

#[test]
fn files_of_a_model_complete_each_other_and_models_stand_beside_each_other() {
    let mut first = read_requirements("numpy==1\n");
    first.complete_with(read_conda("dependencies: [python=3.10, {pip: [numpy==9, scipy]}]\n").unwrap());
    assert_eq!(
        (first.python.as_deref(), packages(&first)),
        (Some("3.10"), vec!["numpy==1".into(), "scipy".into()])
    );
    let second = Environment { python: Some("3.12".into()), ..read_requirements("numpy==2\nscipy\n") };
    first.join(second.clone());
    first.join(second);
    assert_eq!(first.python.as_deref(), Some("3.10 or 3.12"));
    assert_eq!(packages(&first), ["numpy==1 or ==2", "scipy"]);
}

#[test]
fn what_is_no_such_file_is_refused_or_says_nothing() {
    for text in ["", "a: [", "a: &x 1\nb: *x\n"] {
        assert!(read_conda(text).is_err() && read_python_env(text).is_err(), "{text}");
    }
    for text in ["[1, 2]", "just text", "dependencies: python", "python: {a: b}\ndependencies: [[x]]"] {
        assert_eq!(read_conda(text).unwrap(), Environment::default(), "{text}");
        assert_eq!(read_python_env(text).unwrap(), Environment::default(), "{text}");
    }
    let many = (0..6_000).map(|n| format!("p{n}")).collect::<Vec<_>>().join("\n");
    assert_eq!(read_requirements(&many).packages.len(), 5_000);
}

proptest! {
    #[test]
    fn whatever_the_file_says_is_read(text in "\\PC{0,200}", lines in prop::collection::vec("[-#@=+:/. \\[\\]a-zA-Z0-9]{0,30}", 0..20)) {
        let _ = (read_conda(&text), read_python_env(&text));
        let found = read_requirements(&lines.join("\n"));
        prop_assert!(found.packages.len() <= lines.len());
        prop_assert!(found.packages.keys().all(|name| !name.is_empty() && !name.starts_with('-')));
    }
}

#[test]
fn many_keys_are_read_as_fast_as_few() {
    let keys = |count: usize| (0..count).map(|at| format!("k{at}:")).collect::<Vec<_>>().join("\n");
    let began = std::time::Instant::now();
    assert_eq!(read_python_env(&keys(49_000)), Ok(Environment::default()));
    read_python_env(&keys(60_000)).unwrap_err();
    // Where each key is compared with those before it takes a quarter of a minute.
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    let again = read_python_env("a: 1\nb: 2\na: 3\n").unwrap_err();
    assert_eq!(
        again.to_string(),
        "line 3, column 1: 'a' stood at line 1, column 1 already; keep one of them"
    );
}
