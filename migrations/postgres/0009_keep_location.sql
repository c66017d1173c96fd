-- Whether the images of an import keep their location. The file of the same name for the other database makes the same columns.
alter table imports add column keep_location boolean not null default false;
