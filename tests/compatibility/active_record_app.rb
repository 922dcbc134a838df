# What a Rails application does with a watched table.  Prints a line for each check.
require 'active_record'

ActiveRecord::Base.establish_connection(adapter: 'postgresql', host: ENV['PGHOST'], port: ENV['PGPORT'], username: ENV['PGUSER'], database: ENV['PGDATABASE'])
ActiveRecord::Migration.verbose = false
$bad = 0

def equal(what, got, want)
  puts got == want ? "ok - ActiveRecord: #{what}" : "not ok - ActiveRecord: #{what}\n#   got #{got}, want #{want}"
  $bad = 1 if got != want
end

def count(type)
  ActiveRecord::Base.connection.select_value("SELECT count(*) FROM whisperer.outbox WHERE event_type = '#{type}'")
end

class CreateParcel < ActiveRecord::Migration[6.1]
  def up
    create_table(:parcel) { |t| t.text :name }
    execute "SELECT whisperer.watch('parcel')"
    execute "SELECT whisperer.create_hook('parcel-created', '#{ENV['WHISPERER_URL']}/ok/rails')"
  end
end

class Parcel < ActiveRecord::Base
  self.table_name = 'parcel'
end

CreateParcel.new.migrate(:up)
parcel = Parcel.create!(name: 'one')
equal('create! is captured', count('parcel-created'), 1)
Parcel.insert_all!([{ name: 'two' }, { name: 'three' }])
equal('insert_all! is captured', count('parcel-created'), 3)
Parcel.transaction do
  Parcel.create!(name: 'never')
  raise ActiveRecord::Rollback
end
equal('a transaction that is rolled back records nothing', count('parcel-created'), 3)
parcel.update!(name: 'first')
equal('update! is captured', count('parcel-updated'), 1)
parcel.destroy!
equal('destroy! is captured', count('parcel-deleted'), 1)
File.open("#{ENV['PGHOST'].delete_suffix('/socket')}/schema.rb", 'w') { |file| ActiveRecord::SchemaDumper.dump(ActiveRecord::Base.connection_pool, file) }
exit $bad
