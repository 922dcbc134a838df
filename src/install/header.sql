\echo Use "CREATE EXTENSION whisperer" to load this file. \quit

