# graphile-worker: jobs in a table, which a process of Node.js takes with SKIP LOCKED.
graphile_worker_obtain() { named='graphile-worker 0.18.0'; install_packages graphile-worker graphile-worker@0.18.0; }
graphile_worker_settings() { :; }
graphile_worker_prepare() {
    (cd "$npm" && PGDATABASE=$db exec "$node" graphile_worker.mjs tuned)
    enqueue_items "PERFORM graphile_worker.add_job('post', to_json(NEW))"
}
graphile_worker_aim() { aim_sender "$1"; } # URL
graphile_worker_start() { start_sender graphile_worker.mjs "$1"; } # variant
graphile_worker_stop() { stop_sender; }
graphile_worker_keys() { echo 'SELECT id::text AS key, id AS item FROM item'; }
graphile_worker_held() { echo 'SELECT count(*) FROM graphile_worker.jobs'; }
