# Rails' ActiveRecord, and its dump of the schema.
# packages: ruby-activerecord ruby-pg
. /src/tests/compatibility/inside.sh
start_server
start_receiver
WHISPERER_URL=$url ruby "$here/active_record_app.rb" || bad=1
idle
is 'all are delivered' "$(arrived /ok/rails)" "$(count_recorded parcel-created)"
check 'schema.rb lacks the triggers' bash -c "! grep -i trigger $work/schema.rb"
row "Rails: ActiveRecord" "$(ruby -e 'require "active_record"; puts ActiveRecord::VERSION::STRING')" 'captured, a transaction that is rolled back is not. `schema.rb` has no triggers'
