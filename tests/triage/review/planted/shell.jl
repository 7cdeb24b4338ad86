run(`python3 prepare.py --out data`) # expect: process
