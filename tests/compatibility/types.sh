# Types of extensions as columns of a captured table, and in filters.
# packages: postgresql-MAJOR-postgis-3 postgresql-MAJOR-pgvector
. /src/tests/compatibility/inside.sh
start_server
sql 'CREATE EXTENSION postgis; CREATE EXTENSION vector; CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION citext'
start_receiver

# column: name, type, value as SQL, what the payload has
try() {
    sql "CREATE TABLE of_$1 (id int, v $2)"
    sql "SELECT whisperer.watch('of_$1', operations => '{insert}')" >/dev/null
    check "a row with $2 is captured" sql "INSERT INTO of_$1 VALUES (1, $3)"
    is "what the payload has of $2" "$(sql "SELECT data -> 'v' FROM whisperer.outbox ORDER BY id DESC LIMIT 1")" "$4"
}
try geometry 'geometry(Point, 4326)' "'SRID=4326;POINT(1 2)'" \
    '{"type":"Point","crs":{"type":"name","properties":{"name":"EPSG:4326"}},"coordinates":[1,2]}'
try geography 'geography' "'POINT(1 2)'" '"0101000020E6100000000000000000F03F0000000000000040"'
try vector 'vector(3)' "'[1,2,3]'" '"[1,2,3]"'
try hstore hstore "'a=>1, b=>NULL'" '{"a": "1", "b": null}'
try ltree ltree "'Top.Science'" '"Top.Science"'
try citext citext "'Ann'" '"Ann"'

sql "SELECT whisperer.create_hook('of_citext-created', '$url/ok/filtered', filter => '{\"v\": \"Ann\"}')" >/dev/null
sql "INSERT INTO of_citext VALUES (2, 'ANN'), (3, 'Ann')"
idle
is 'a filter compares citext as JSON, with case' "$(arrived /ok/filtered)" 1
sql "SELECT data, whisperer.why(id, 1) FROM whisperer.outbox WHERE event_type = 'of_citext-created'" | sed 's/^/# /'

for each in postgis vector hstore ltree citext; do
    eval "$each=$(sql "SELECT extversion FROM pg_extension WHERE extname = '$each'")"
done
row PostGIS "$postgis" 'geometry is GeoJSON in the payload, with its `crs`; geography is the hexadecimal EWKB'
row pgvector "$vector" 'a vector is a string, `"[1,2,3]"`'
row hstore "$hstore" 'an object whose values are strings or null'
row ltree "$ltree" 'a string'
row citext "$citext" 'a string; a filter compares with case'
