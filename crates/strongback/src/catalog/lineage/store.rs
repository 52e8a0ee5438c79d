//! Statements of lineage.

use crate::statements;

statements! {
    NODE_OF_ASSET = "SELECT id FROM lineage_node WHERE asset_id = $1";
    NODE_BY_KEY = "SELECT id FROM lineage_node WHERE kind = $1 AND key = $2 AND asset_id IS NULL";
    NODE_INSERT = "INSERT INTO lineage_node (kind, asset_id, key, name, detail) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT DO NOTHING";
    /// With the kind of the asset, where it is one.
    NODE_BY_ID = "SELECT n.id, n.kind, n.asset_id, n.name, n.detail, a.kind FROM lineage_node n
        LEFT JOIN asset a ON a.id = n.asset_id WHERE n.id = $1";

    EDGE_ID = "SELECT id FROM lineage_edge WHERE source_id = $1 AND target_id = $2 AND kind = $3";
    EDGE_INSERT = "INSERT INTO lineage_edge (source_id, target_id, kind, first_seen) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING";
    EDGES_IN = "SELECT id, source_id, target_id, kind, first_seen FROM lineage_edge
        WHERE target_id = $1 ORDER BY id LIMIT $2";
    EDGES_OUT = "SELECT id, source_id, target_id, kind, first_seen FROM lineage_edge
        WHERE source_id = $1 ORDER BY id LIMIT $2";
    /// Edges into $1 that share a run with edge $2, which leaves it: few versions, so they are looked at first.
    EDGES_IN_SHARED = "SELECT e.id, e.source_id, e.target_id, e.kind, e.first_seen FROM lineage_edge e
        WHERE e.target_id = $1 AND EXISTS (SELECT 1 FROM lineage_fact made CROSS JOIN lineage_fact used
            WHERE made.edge_id = $2 AND used.run_uuid = made.run_uuid AND used.edge_id = e.id)
        ORDER BY e.id LIMIT $3";
    /// Edges out of $1 that share a run with edge $2, which enters it.
    EDGES_OUT_SHARED = "SELECT e.id, e.source_id, e.target_id, e.kind, e.first_seen FROM lineage_edge e
        WHERE e.source_id = $1 AND EXISTS (SELECT 1 FROM lineage_fact made CROSS JOIN lineage_fact used
            WHERE made.edge_id = e.id AND used.run_uuid = made.run_uuid AND used.edge_id = $2)
        ORDER BY e.id LIMIT $3";
    /// Edges into $1 that these runs took part in.
    EDGES_IN_OF_RUNS = "SELECT e.id, e.source_id, e.target_id, e.kind, e.first_seen FROM lineage_edge e
        WHERE e.target_id = $1 AND e.id IN (SELECT edge_id FROM lineage_fact WHERE run_uuid IN {texts:$2})
        ORDER BY e.id LIMIT $3";
    /// Edges out of $1 that these runs took part in.
    EDGES_OUT_OF_RUNS = "SELECT e.id, e.source_id, e.target_id, e.kind, e.first_seen FROM lineage_edge e
        WHERE e.source_id = $1 AND e.id IN (SELECT edge_id FROM lineage_fact WHERE run_uuid IN {texts:$2})
        ORDER BY e.id LIMIT $3";
    /// Edges into $1 by which these versions of it came to be.
    EDGES_IN_OF_VERSIONS = "SELECT e.id, e.source_id, e.target_id, e.kind, e.first_seen FROM lineage_edge e
        WHERE e.target_id = $1 AND EXISTS (SELECT 1 FROM lineage_fact f
            WHERE f.edge_id = e.id AND f.target_version IN {texts:$2})
        ORDER BY e.id LIMIT $3";
    /// Edges out of $1 that these versions of it fed.
    EDGES_OUT_OF_VERSIONS = "SELECT e.id, e.source_id, e.target_id, e.kind, e.first_seen FROM lineage_edge e
        WHERE e.source_id = $1 AND EXISTS (SELECT 1 FROM lineage_fact f
            WHERE f.edge_id = e.id AND f.source_version IN {texts:$2})
        ORDER BY e.id LIMIT $3";

    FACT_EXISTS = "SELECT at FROM lineage_fact
        WHERE edge_id = $1 AND run_uuid = $2 AND target_version = $3 AND source_version = $4";
    FACT_INSERT = "INSERT INTO lineage_fact (edge_id, run_uuid, target_version, source_version, at, detail)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    /// Counts up to $2 and no further.
    FACT_COUNT = "SELECT COUNT(*) FROM (SELECT 1 AS one FROM lineage_fact WHERE edge_id = $1 LIMIT $2) AS counted";
    FACT_NEWEST = "SELECT run_uuid, source_version, target_version, at, detail FROM lineage_fact
        WHERE edge_id = $1 ORDER BY at DESC LIMIT 1";
    /// Counts up to $3 and no further.
    FACT_COUNT_OF_RUNS = "SELECT COUNT(*) FROM (SELECT 1 AS one FROM lineage_fact
        WHERE edge_id = $1 AND run_uuid IN {texts:$2} LIMIT $3) AS counted";
    FACT_NEWEST_OF_RUNS = "SELECT run_uuid, source_version, target_version, at, detail FROM lineage_fact
        WHERE edge_id = $1 AND run_uuid IN {texts:$2} ORDER BY at DESC LIMIT 1";
    /// Facts of these runs, from these versions, or to these; counts up to $5 and no further.
    FACT_COUNT_OF_ANY = "SELECT COUNT(*) FROM (SELECT 1 AS one FROM lineage_fact WHERE edge_id = $1
        AND (run_uuid IN {texts:$2} OR source_version IN {texts:$3} OR target_version IN {texts:$4}) LIMIT $5) AS counted";
    FACT_NEWEST_OF_ANY = "SELECT run_uuid, source_version, target_version, at, detail FROM lineage_fact
        WHERE edge_id = $1
            AND (run_uuid IN {texts:$2} OR source_version IN {texts:$3} OR target_version IN {texts:$4})
        ORDER BY at DESC LIMIT 1";

    FACTS_OF_EDGE = "SELECT run_uuid, source_version, target_version, at, detail FROM lineage_fact
        WHERE edge_id = $1 ORDER BY at DESC LIMIT $2";
    /// Facts of edge $1 that share a run with edge $2.
    FACTS_SHARED = "SELECT f.run_uuid, f.source_version, f.target_version, f.at, f.detail FROM lineage_fact f
        WHERE f.edge_id = $1 AND EXISTS (SELECT 1 FROM lineage_fact o
            WHERE o.edge_id = $2 AND o.run_uuid = f.run_uuid)
        ORDER BY f.at DESC LIMIT $3";
    /// In no order, as the two below: for an order every fact of the edge would be looked at. Those find
    /// the keys in the index by version first: SQLite would look through the whole edge for the rows themselves.
    FACTS_OF_RUNS = "SELECT run_uuid, source_version, target_version, at, detail FROM lineage_fact
        WHERE edge_id = $1 AND run_uuid IN {texts:$2} LIMIT $3";
    FACTS_FROM_VERSIONS = "SELECT run_uuid, source_version, target_version, at, detail FROM lineage_fact
        WHERE (edge_id, run_uuid, target_version, source_version) IN (
            SELECT edge_id, run_uuid, target_version, source_version FROM lineage_fact
            WHERE edge_id = $1 AND source_version IN {texts:$2} LIMIT $3)";
    FACTS_TO_VERSIONS = "SELECT run_uuid, source_version, target_version, at, detail FROM lineage_fact
        WHERE (edge_id, run_uuid, target_version, source_version) IN (
            SELECT edge_id, run_uuid, target_version, source_version FROM lineage_fact
            WHERE edge_id = $1 AND target_version IN {texts:$2} LIMIT $3)";
}
