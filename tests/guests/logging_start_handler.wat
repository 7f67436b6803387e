;; Logs before it is ready, when the host has not seen its memory yet.
(module
  (import "footloose" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "footloose_alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "\r\nbegun")
  (func $start (call $log (i32.const 2) (i32.const 5)))
  (start $start)
  (func (export "footloose_handle") (param i32 i32) (result i64) (i64.const 2)))
