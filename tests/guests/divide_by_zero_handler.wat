;; Divides by the number of ones in zero.
(module
  (memory (export "memory") 1)
  (func (export "footloose_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "footloose_handle") (param i32 i32) (result i64)
    (i64.div_u (i64.const 1) (i64.popcnt (i64.const 0)))))
