//! Any order of appends, seals, frees and openings, against a list in memory.

use futures::executor::block_on;
use journal::{Journal, Mode};
use proptest::prelude::*;

use crate::{all, open, quick_dir, small};

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<u8>),
    Seal,
    FreeOldest,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => proptest::collection::vec(any::<u8>(), 0..80).prop_map(Step::Append),
        1 => Just(Step::Seal),
        1 => Just(Step::FreeOldest),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_a_list_that_is_cut_from_the_front(steps in proptest::collection::vec(step(), 1..60)) {
        let dir = quick_dir();
        let options = small(Mode::Process, 400);
        let (mut journal, _): (Journal, _) = open(dir.path(), &options);
        let (mut model, mut next) = (Vec::new(), 0_u64);
        for step in steps {
            match step {
                Step::Append(bytes) => {
                    prop_assert_eq!(journal.append_blocking(&[&bytes]).unwrap().sequence, next);
                    model.push((next, bytes));
                    next += 1;
                }
                Step::Seal => {
                    block_on(journal.seal()).unwrap();
                }
                Step::FreeOldest => {
                    if let Some(oldest) = journal.segments().first().filter(|oldest| oldest.is_sealed) {
                        journal.free(oldest.base).unwrap();
                        model.retain(|(sequence, _)| *sequence >= oldest.next);
                    }
                }
                Step::Reopen => {
                    drop(journal);
                    journal = open(dir.path(), &options).0;
                }
            }
            prop_assert_eq!(&all(&journal), &model);
        }
    }
}
